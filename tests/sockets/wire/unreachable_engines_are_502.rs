//! Engines that do not answer: 502, in the words of the client's API.

use serde_json::json;
use test_kit::{
    socket::{Framing, Message, Reply, Server, Wire, post, post_to},
    table::{in_flight, of_each_kind},
};
use tokio::net::TcpSocket;
use tower_model_route::ModelRouteLayer;

const BODY: &str = r#"{"model":"alias"}"#;

fn assert_unreachable(answer: &Message) {
    assert_eq!(answer.start, "HTTP/1.1 502 Bad Gateway");
    assert_eq!(answer.all("content-type"), ["application/json"]);
    assert!(answer.complete && matches!(answer.framing, Framing::Length(_)));
    assert_eq!(
        answer.json(),
        json!({"error": {
            "message": "the engine could not be reached",
            "type": "server_error",
            "param": null,
            "code": "upstream_unreachable",
        }})
    );
}

#[tokio::test]
async fn an_engine_that_refuses_connections() {
    // Bound, so that nobody else gets the port, but nobody listens.
    let engine = TcpSocket::new_v4().unwrap();
    engine.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let table = of_each_kind(&format!("http://{}/base", engine.local_addr().unwrap()));
    let gateway = Server::routing(ModelRouteLayer::new(table.clone())).await;
    let mut client = gateway.connect().await;
    client.send(post(BODY)).await;
    assert_unreachable(&client.answer().await);
    assert_eq!(in_flight(&table), 0);

    // The same connection, another API.
    for target in [
        "/v1/messages",
        "/v1/messages?beta=true",
        "/x/v1/messages/count_tokens",
    ] {
        client.send(post_to(target, "", BODY)).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), 502);
        assert_eq!(
            answer.json(),
            json!({"type": "error", "error": {
                "type": "api_error",
                "message": "the engine could not be reached",
            }})
        );
    }
}

#[tokio::test]
async fn an_engine_that_answers_what_is_no_answer() {
    for bytes in [
        // Nothing at all, or not enough.
        "",
        "HTTP/1.1 200 O",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        // Not HTTP, or not this one.
        "SSH-2.0-OpenSSH_9.2p1\r\n\r\n",
        "\0\x01\x02\r\n\r\n",
        "\r\n\r\nhello\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        // HTTP, but nobody can say where it ends.
        "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nno field\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Nul: \0\r\n\r\n",
    ] {
        let wire = Wire::answering(Reply::new(bytes).then_close()).await;
        let mut client = wire.connect().await;
        client.send(post(BODY)).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), 502, "{bytes:?}");
        assert_unreachable(&answer);
        assert_eq!(wire.in_flight(), 0);
        wire.only().await;
    }
}

#[tokio::test]
async fn an_engine_without_end_to_its_head() {
    let fields: String = (0..1000).map(|i| format!("X-{i}: 1\r\n")).collect();
    let answer = Reply::new(format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
    let wire = Wire::answering(answer).await;
    assert_unreachable(&wire.ask(post(BODY)).await);
    assert_eq!(wire.in_flight(), 0);
}

#[tokio::test]
async fn what_the_engine_said_is_not_in_the_message() {
    let answer = Reply::new("secret: 10.1.2.3\r\n\r\n").then_close();
    let wire = Wire::answering(answer).await;
    let address = wire.upstream.address();
    let answer = wire.ask(post(BODY)).await;
    for secret in ["secret", &address.port().to_string(), "127.0.0.1"] {
        assert!(!answer.text().contains(secret));
    }
}

/// The gateway's connection to the client outlives a broken engine.
#[tokio::test]
async fn the_next_request_is_served_all_the_same() {
    let wire = Wire::scripted(|request| {
        if request.text().contains("break") {
            Reply::new("").then_close()
        } else {
            Reply::ok("fine")
        }
    })
    .await;
    let mut client = wire.connect().await;
    client.send(post(r#"{"model":"alias","x":"break"}"#)).await;
    assert_unreachable(&client.answer().await);
    client.send(post(BODY)).await;
    assert_eq!(client.answer().await.text(), "fine");
    assert_eq!(wire.finish().await.len(), 2);
}

/// What an engine sends beyond its answer must not become the answer to somebody else.
#[tokio::test]
async fn more_than_was_asked_for_is_nobodys_answer() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n",
        // These have no body, whatever they say.
        "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n",
    ] {
        for more in [
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            "evil",
            "\r\n\r\n",
        ] {
            let wire = Wire::answering(Reply::new(format!("{answer}{more}"))).await;
            let mut client = wire.connect().await;
            for _ in 0..3 {
                client.send(post(BODY)).await;
                let answer = client.answer().await;
                assert!(
                    matches!(answer.status(), 200 | 204 | 304 | 502),
                    "{answer:?}"
                );
                assert!(!answer.text().contains("evil"), "{answer:?}");
            }
            assert_eq!(wire.in_flight(), 0);
        }
    }
}
