//! The engine's answer: its status, its fields and its body, whatever they are.

use test_kit::socket::{Framing, H2Client, Message, Reply, Wire, h2_post, post, post_with, whole};

const BODY: &str = r#"{"model":"alias"}"#;

async fn returned(answer: Reply) -> Message {
    let wire = Wire::answering(answer).await;
    let answer = wire.ask(post(BODY)).await;
    assert_eq!(wire.in_flight(), 0);
    wire.only().await;
    answer
}

#[tokio::test]
async fn every_status_is_the_engines() {
    for status in [
        "200 OK",
        "201 Created",
        "302 Found",
        "400 Bad Request",
        "401 Unauthorized",
        "404 Not Found",
        "413 Payload Too Large",
        "418 I'm a teapot",
        "422 Try harder",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "502 Bad Gateway",
        "503 Service Unavailable",
        "504 Gateway Timeout",
        "599 Own",
    ] {
        let body = format!("{{ \"detail\":\t\"{status}\"}}\n");
        let length = body.len();
        let answer = returned(Reply::new(format!(
            "HTTP/1.1 {status}\r\nServer: engine\r\nContent-Type: text/x-own\r\nDate: today\r\n\
             Content-Length: {length}\r\nLocation: /else\r\n\r\n{body}"
        )))
        .await;
        assert_eq!(answer.start, format!("HTTP/1.1 {status}"));
        assert_eq!(
            answer.fields_but(&[]),
            [
                &*format!("content-length: {length}"),
                "content-type: text/x-own",
                "date: today",
                "location: /else",
                "server: engine",
            ]
        );
        assert_eq!(answer.framing, Framing::Length(length));
        assert_eq!(answer.text(), body);
    }
}

#[tokio::test]
async fn an_answer_in_chunks() {
    let answer = returned(Reply::new(
        "HTTP/1.1 500 Internal Server Error\r\nTransfer-Encoding: chunked\r\n\r\n\
         5;x=y\r\n{\"a\":\r\n09\r\n 1, \"\x01\u{7f}\"}\r\n1\r\n\n\r\n0\r\n\r\n",
    ))
    .await;
    assert_eq!((answer.status(), answer.framing), (500, Framing::Chunked));
    assert_eq!(answer.text(), "{\"a\": 1, \"\x01\u{7f}\"}\n");
    assert!(answer.complete);
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection() {
    for version in ["1.0", "1.1"] {
        let head = format!("HTTP/{version} 404 Not Found\r\nX-Kept: 1\r\n\r\n");
        let answer = returned(Reply::new(head).then("it is ").then("gone").then_close()).await;
        assert_eq!((answer.status(), &*answer.text()), (404, "it is gone"));
        assert_eq!(answer.all("x-kept"), ["1"]);
        assert!(answer.complete);
    }
}

#[tokio::test]
async fn answers_without_a_body() {
    for (head, framing) in [
        ("200 OK\r\nContent-Length: 0", Framing::Length(0)),
        (
            "503 Service Unavailable\r\nContent-Length: 0",
            Framing::Length(0),
        ),
        ("204 No Content", Framing::None),
        ("304 Not Modified\r\nETag: \"x\"", Framing::None),
    ] {
        let answer = Reply::new(format!("HTTP/1.1 {head}\r\n\r\n"));
        let wire = Wire::answering(answer).await;
        let mut client = wire.connect().await;
        // Twice on one connection: nothing of the first is left over for the second.
        for _ in 0..2 {
            client.send(post(BODY)).await;
            let answer = client.answer().await;
            assert!(head.starts_with(&answer.status().to_string()));
            assert_eq!(answer.framing, framing, "{answer:?}");
        }
        assert_eq!(wire.in_flight(), 0);
        assert_eq!(wire.finish().await.len(), 2);
    }
    let answer = Reply::new("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(returned(answer).await.text(), "");
    let answer = Reply::new("HTTP/1.1 200 OK\r\n\r\n").then_close();
    assert_eq!(returned(answer).await.text(), "");
}

#[tokio::test]
async fn interim_answers_are_skipped() {
    let answer = returned(Reply::new(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX-No: 1\r\n\r\n\
         HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n\
         HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: 2\r\n\r\nok",
    ))
    .await;
    assert_eq!((answer.status(), &*answer.text()), (200, "ok"));
    assert_eq!(answer.fields_but(&[]), ["content-length: 2", "date: today"]);
}

/// No engine can switch protocols: the gateway has passed no Upgrade on to it (RFC 9110 section
/// 7.8), so the client, which may not have asked either, must not be told that one has.
#[tokio::test]
async fn an_upgrade_that_nobody_asked_for_is_no_answer() {
    let answer = Reply::new("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\0\0");
    for fields in ["", "Connection: upgrade\r\nUpgrade: x\r\n"] {
        let wire = Wire::answering(answer.clone().then_close()).await;
        let answer = wire.ask(post_with(fields, BODY)).await;
        assert_eq!(answer.status(), 502, "{answer:?}");
        assert!(wire.only().await.all("upgrade").is_empty());
    }
}

/// RFC 9110 section 8.6. (HTTP/2 clients take no list.)
#[tokio::test]
async fn a_length_that_is_said_twice_is_sent_once() {
    for fields in [
        "Content-Length: 2, 2\r\n",
        "Content-Length: 2,2 ,\t2\r\n",
        "Content-Length: 2\r\nX-Kept: 1\r\nContent-Length: 2\r\n",
    ] {
        let reply = Reply::new(format!("HTTP/1.1 200 OK\r\n{fields}\r\nok"));
        let answer = returned(reply.clone()).await;
        assert_eq!(answer.all("content-length"), ["2"], "{fields:?}");
        assert_eq!(answer.text(), "ok");
        let wire = Wire::answering(reply).await;
        let mut client = H2Client::connect(wire.gateway.address).await;
        let answer = client.ask(h2_post().body(whole(BODY)).unwrap()).await;
        assert_eq!(answer.headers()["content-length"], "2");
        assert_eq!(answer.body().0, "ok");
    }
    let differ = "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok!";
    assert_eq!(returned(Reply::new(differ)).await.status(), 502);
}

/// The gateway has asked for none (RFC 9112 section 7.4): its name would stay behind, and the client
/// would take the coded bytes for JSON.
#[tokio::test]
async fn an_answer_with_a_transfer_coding_is_no_answer() {
    let body = "\r\n\r\n2\r\n\x1f\x08\r\n0\r\n\r\n";
    for coding in [
        "gzip, chunked",
        "gzip\r\nTransfer-Encoding: chunked",
        "chunked, chunked",
        "chunked, gzip",
        "gzip",
    ] {
        let reply = Reply::new(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}{body}"
        ));
        let answer = returned(reply.then_close()).await;
        assert_eq!(answer.status(), 502, "{coding:?}");
        assert!(answer.text().contains("transfer coding"), "{answer:?}");
    }
    for coding in ["Chunked", "identity, chunked", "chunked,"] {
        let reply = Reply::new(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}{body}"
        ));
        let answer = returned(reply.then_close()).await;
        assert_eq!(answer.status(), 200, "{coding:?}");
    }
}

/// The chunks count, and the length must go (RFC 9112 section 6.3): the client would otherwise
/// cut the body there, or wait for more.
#[tokio::test]
async fn a_length_beside_chunks_does_not_reach_the_client() {
    for length in [2, 5, 100] {
        for fields in [
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        ] {
            let answer = returned(Reply::new(format!(
                "HTTP/1.1 200 OK\r\n{fields}\r\n5\r\nhello\r\n0\r\n\r\n"
            )))
            .await;
            assert_eq!(answer.text(), "hello", "{fields}: {answer:?}");
            assert!(answer.complete);
        }
    }
}

#[tokio::test]
async fn a_length_that_is_said_twice() {
    let answer = returned(Reply::new(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    ))
    .await;
    assert_eq!(
        (answer.framing, &*answer.text()),
        (Framing::Length(2), "ok")
    );
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_no_chunks() {
    let answer = Reply::new("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .then("5\r\nhello\r\n0\r\n\r\n");
    let wire = Wire::answering(answer).await;
    let length = BODY.len();
    let request = format!("POST /v1/chat HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{BODY}");
    let answer = wire.ask(request).await;
    assert_ne!(answer.framing, Framing::Chunked);
    assert_eq!(answer.text(), "hello");
}

#[tokio::test]
async fn trailers_reach_a_client_that_takes_them() {
    let answer =
        Reply::new("HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n")
            .then("2\r\nok\r\n0\r\nX-Sum: a\r\nx-sum: b\r\n\r\n");
    let wire = Wire::answering(answer).await;
    let answer = wire.ask(post_with("TE: trailers\r\n", BODY)).await;
    assert_eq!(answer.text(), "ok");
    let [a, b] = ["a", "b"].map(|value| ("x-sum".to_owned(), value.to_owned()));
    assert_eq!(answer.trailers, [a, b]);
    // To others the answer is complete without them.
    let answer = wire.ask(post(BODY)).await;
    assert_eq!((&*answer.text(), answer.trailers.len()), ("ok", 0));
    assert!(answer.complete);
}

#[tokio::test]
async fn connections_to_the_engine_are_used_again() {
    let wire = Wire::new().await;
    for _ in 0..5 {
        wire.ask(post(BODY)).await;
    }
    wire.gateway.stop().await;
    let (connections, requests) = wire.upstream.finish().await;
    assert_eq!((connections, requests.len()), (1, 5));
}
