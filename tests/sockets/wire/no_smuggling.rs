//! Messages whose length can be read in two ways. Whatever hyper makes of them, the engine must
//! never get two requests out of one, nor a body that is not the client's.

use test_kit::socket::{Message, Reply, Wire, post, post_chunked};

const BODY: &str = r#"{"model":"plain"}"#;
const HEAD: &str = "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\n";

/// A request that a gateway would have to make out of the body of another.
fn hidden() -> String {
    let length = BODY.len();
    format!("POST /hidden HTTP/1.1\r\nHost: g\r\nContent-Length: {length}\r\n\r\n{BODY}")
}

/// The answers to these bytes, and the requests that the engine gets out of them.
async fn exchange(bytes: impl AsRef<[u8]>) -> (Vec<u16>, Vec<Message>) {
    let wire = Wire::answering(Reply::ok("{}")).await;
    let mut client = wire.connect().await;
    client.send(bytes).await;
    // So that the connection ends, if it has not by then.
    client
        .send("GET /end HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
        .await;
    let mut answers = Vec::new();
    while let Some(answer) = client.answer_or_end().await {
        answers.push(answer.status());
    }
    assert_eq!(wire.in_flight(), 0);
    (answers, wire.finish().await)
}

/// Nothing goes to the engine, and nothing is answered as if it were well.
async fn assert_stopped(bytes: impl AsRef<[u8]>) {
    let shown = String::from_utf8_lossy(bytes.as_ref()).into_owned();
    let (answers, requests) = exchange(bytes).await;
    assert!(requests.is_empty(), "{shown:?} became {requests:?}");
    let is_refusal = |status: &u16| (400..500).contains(status) || *status == 501;
    let refused = answers.iter().all(is_refusal);
    assert!(refused, "{shown:?}: {answers:?}");
}

/// At most one request goes to the engine, with exactly this body.
async fn assert_at_most(body: &str, bytes: impl AsRef<[u8]>) {
    let shown = String::from_utf8_lossy(bytes.as_ref()).into_owned();
    let (_, requests) = exchange(bytes).await;
    assert!(requests.len() <= 1, "{shown:?} became {requests:?}");
    for request in requests {
        assert_eq!(
            request.start, "POST /v1/chat/completions HTTP/1.1",
            "{shown:?}"
        );
        assert_eq!(request.text(), body, "{shown:?}");
        assert!(request.all("transfer-encoding").is_empty(), "{shown:?}");
    }
}

#[tokio::test]
async fn a_length_and_chunks() {
    let hidden = hidden();
    let chunk = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    for (length, body) in [
        // By the length the hidden request is the body, by the chunks it is the next message.
        (5 + hidden.len(), format!("0\r\n\r\n{hidden}")),
        (chunk.len() + hidden.len(), format!("{chunk}{hidden}")),
        // By the length the body ends before it, by the chunks it is in the body.
        (4, format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len())),
        (BODY.len(), format!("{BODY}0\r\n\r\n{hidden}")),
        (0, format!("{chunk}{hidden}")),
        (chunk.len(), chunk.clone()),
    ] {
        for fields in [
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
            format!(
                "Connection: transfer-encoding\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n"
            ),
            format!(
                "Connection: content-length\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n"
            ),
        ] {
            assert_at_most(BODY, format!("{HEAD}{fields}\r\n{body}")).await;
        }
    }
}

#[tokio::test]
async fn two_lengths() {
    let (hidden, length) = (hidden(), BODY.len());
    let both = length + hidden.len();
    for lengths in [
        format!("Content-Length: {length}\r\nContent-Length: {both}\r\n"),
        format!("Content-Length: {both}\r\nContent-Length: {length}\r\n"),
        format!("Content-Length: {length}, {both}\r\n"),
        format!("Content-Length: {length}\r\nContent-Length: x\r\n"),
    ] {
        assert_stopped(format!("{HEAD}{lengths}\r\n{BODY}{hidden}")).await;
    }
}

#[tokio::test]
async fn lengths_that_are_not_numbers() {
    let length = BODY.len();
    for wrong in [
        format!("+{length}"),
        format!("-{length}"),
        format!("{length}.0"),
        format!("0x{length:x}"),
        format!("{length} {length}"),
        format!("{length};"),
        "99999999999999999999999".to_owned(),
        "18446744073709551615".to_owned(),
        String::new(),
    ] {
        assert_stopped(format!("{HEAD}Content-Length: {wrong}\r\n\r\n{BODY}")).await;
    }
}

#[tokio::test]
async fn codings_that_only_look_chunked() {
    let hidden = hidden();
    let chunk = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    for coding in [
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: chunked\0",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\r\n\tTransfer-Encoding: chunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer_Encoding: chunked",
    ] {
        for length in ["", "Content-Length: 4\r\n"] {
            let request = format!("{HEAD}{length}{coding}\r\n\r\n{chunk}{hidden}");
            // Where the coding counts it is seen or refused, and where it doesn't there is a body
            // of nothing or of four bytes, which is no JSON. So what the engine gets are messages
            // of their own, each with an answer of its own.
            let (answers, requests) = exchange(&request).await;
            for request in &requests {
                assert_eq!(request.text(), BODY, "{coding:?}");
            }
            let answered = answers.iter().filter(|&&status| status == 200).count();
            assert_eq!(requests.len(), answered, "{coding:?}: {requests:?}");
        }
    }
}

/// The gateway undoes none of them, and an engine would take the coded bytes for the body, or, where
/// it is told of no coding, plain bytes for what they are not.
#[tokio::test]
async fn codings_below_the_chunks() {
    let length = BODY.len();
    for coding in ["gzip, chunked", "identity, chunked", "chunked, chunked"] {
        for body in [format!("{length:x}\r\n{BODY}"), "2\r\n\x1f\u{8}".into()] {
            let fields = format!("Transfer-Encoding: {coding}\r\n");
            assert_stopped(format!("{HEAD}{fields}\r\n{body}\r\n0\r\n\r\n")).await;
        }
    }
}

#[tokio::test]
async fn chunks_that_are_none() {
    let head = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n");
    let length = BODY.len();
    for chunks in [
        format!("{length}\r\n{BODY}\r\n0\r\n\r\n"),
        format!("0x{length:x}\r\n{BODY}\r\n0\r\n\r\n"),
        format!("-{length:x}\r\n{BODY}\r\n0\r\n\r\n"),
        format!("+{length:x}\r\n{BODY}\r\n0\r\n\r\n"),
        format!("{length:x}\r\n{BODY}0\r\n\r\n"),
        format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", length - 1),
        format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", length + 1),
        format!("ffffffffffffffff1\r\n{BODY}\r\n0\r\n\r\n"),
        format!("{BODY}\r\n0\r\n\r\n"),
        format!("{length:x}\r\n{BODY}\r\n0\r\nno trailer\r\n\r\n"),
        format!("{length:x};{}\r\n{BODY}\r\n0\r\n\r\n", "x".repeat(1 << 20)),
    ] {
        assert_stopped(head.clone() + &chunks).await;
    }
}

#[tokio::test]
async fn http_1_0_has_no_chunks() {
    let chunk = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    for length in ["", "Content-Length: 17\r\n"] {
        let head = HEAD.replace("1.1", "1.0");
        let request = format!(
            "{head}{length}Transfer-Encoding: chunked\r\n\r\n{chunk}{}",
            hidden()
        );
        assert_stopped(request).await;
    }
}

/// What is incomplete is not sent before its model is known, and after that never made complete.
#[tokio::test]
async fn a_client_that_leaves_early() {
    let whole = post(BODY);
    let chunked = post_chunked("", &[&BODY[..5], &BODY[5..]], "X-Sum: 1\r\n");
    for request in [whole, chunked] {
        let name = br#""plain""#;
        let at = request.windows(name.len()).position(|part| part == name);
        let named = at.expect("the name is in one chunk") + name.len();
        let early = wire_left_at(&request, [request.len() / 2, named - 8, named - 1]).await;
        early.untouched().await;
        let late = wire_left_at(&request, named..request.len()).await;
        late.never_whole().await;
    }
}

/// A gateway that clients have left after these lengths of `request`.
async fn wire_left_at(request: &[u8], ends: impl IntoIterator<Item = usize>) -> Wire {
    let wire = Wire::new().await;
    for end in ends {
        let mut client = wire.connect().await;
        client.send(&request[..end]).await;
        client.shut_down().await;
        if let Some(answer) = client.answer_or_end().await {
            assert_eq!(answer.status(), 400);
        }
        assert_eq!(wire.in_flight(), 0);
    }
    wire
}

#[tokio::test]
async fn a_length_that_is_too_small_leaves_no_request() {
    let length = BODY.len();
    for rest in ["}", "\r\nx", "GARBAGE\r\n\r\n", "\0\0\0\0\r\n\r\n"] {
        let bytes = format!("{HEAD}Content-Length: {length}\r\n\r\n{BODY}{rest}");
        assert_at_most(BODY, bytes).await;
    }
    let cut = format!("{HEAD}Content-Length: {}\r\n\r\n{BODY}", length - 1);
    assert_stopped(cut).await;
}

#[tokio::test]
async fn heads_that_are_none() {
    for start in [
        "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nX: \0\r\n",
        "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nX\0: 1\r\n",
        "POST /v1/chat/completions\r\nHost: g\r\n",
        "POST  /v1/chat/completions HTTP/1.1\r\nHost: g\r\n",
        "POST /v1/ HTTP/1.1\r\n/../x HTTP/1.1\r\nHost: g\r\n",
        "POST v1/chat/completions?x HTTP/1.1\r\nHost: g\r\n",
        "POST /v1/\0 HTTP/1.1\r\nHost: g\r\n",
        "POST /v1/chat/completions HTTP/3.0\r\nHost: g\r\n",
    ] {
        assert_stopped(format!("{start}Content-Length: 17\r\n\r\n{BODY}")).await;
    }
    let many: String = (0..200).map(|i| format!("X-{i}: 1\r\n")).collect();
    assert_stopped(format!("{HEAD}{many}Content-Length: 17\r\n\r\n{BODY}")).await;
}

/// Each of several requests on one connection goes where its own model says.
#[tokio::test]
async fn pipelined_requests_go_to_their_own_models() {
    let wire = Wire::scripted(|request| Reply::ok(&request.text())).await;
    let mut client = wire.connect().await;
    let models = [
        ("alias", Some("org/real")),
        ("second", Some("org/other")),
        ("gone", None),
        ("lora-A", Some("lora-A")),
        ("plain", Some("plain")),
        ("second", Some("org/other")),
    ];
    let body = |model: &str, n: usize| format!(r#"{{"n":{n},"model":"{model}"}}"#);
    let mut bytes = Vec::new();
    for (n, (model, _)) in models.iter().enumerate() {
        let body = body(model, n);
        if n % 2 == 0 {
            bytes.extend(post(body));
        } else {
            bytes.extend(post_chunked("", &[&body[..7], &body[7..]], ""));
        }
    }
    client.send(bytes).await;
    let mut expected = Vec::new();
    for (n, (_, real)) in models.iter().enumerate() {
        let answer = client.answer().await;
        match real {
            Some(real) => {
                expected.push(body(real, n));
                assert_eq!(answer.text(), body(real, n));
            }
            None => assert_eq!(answer.status(), 404),
        }
    }
    let seen: Vec<_> = wire.finish().await.iter().map(Message::text).collect();
    assert_eq!(seen, expected);
}
