//! `Expect: 100-continue`: the body is asked for only when it is wanted.

use test_kit::socket::{Framing, Reply, Wire, post_with};

const BODY: &str = r#"{"model":"alias"}"#;

/// The head of a request that waits to be asked for a body of `length` bytes.
fn head(request_line: &str, fields: &str, length: usize) -> String {
    format!(
        "{request_line}\r\nHost: gateway.test\r\nExpect: 100-continue\r\n{fields}\
         Content-Length: {length}\r\n\r\n"
    )
}

const POST: &str = "POST /v1/chat/completions HTTP/1.1";

#[tokio::test]
async fn a_wanted_body_is_asked_for() {
    let wire = Wire::new().await;
    let mut client = wire.connect().await;
    client.send(head(POST, "", BODY.len())).await;
    let interim = client.answer().await;
    assert_eq!(interim.start, "HTTP/1.1 100 Continue");
    assert!(interim.fields.is_empty());
    client.send(BODY).await;
    assert_eq!(client.answer().await.status(), 200);
    // By then it has done its work, and the engine would answer it a second time.
    let request = wire.only().await;
    assert!(request.all("expect").is_empty());
    assert_eq!(request.text(), r#"{"model":"org/real"}"#);
}

#[tokio::test]
async fn a_wanted_body_in_chunks_is_asked_for() {
    let wire = Wire::new().await;
    let mut client = wire.connect().await;
    let fields = "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n";
    client
        .send(format!("{POST}\r\nHost: g\r\n{fields}\r\n"))
        .await;
    assert_eq!(client.answer().await.status(), 100);
    let length = BODY.len();
    client
        .send(format!("{length:x}\r\n{BODY}\r\n0\r\n\r\n"))
        .await;
    assert_eq!(client.answer().await.status(), 200);
    assert!(wire.only().await.all("expect").is_empty());
}

#[tokio::test]
async fn a_body_that_comes_unasked_is_taken() {
    let wire = Wire::new().await;
    let mut client = wire.connect().await;
    client
        .send(post_with("Expect: 100-continue\r\n", BODY))
        .await;
    let mut answer = client.answer().await;
    if answer.status() == 100 {
        answer = client.answer().await;
    }
    assert_eq!(answer.status(), 200);
    assert!(wire.only().await.all("expect").is_empty());
}

/// Each of these is decided by the head alone, so nothing of the body may be asked for.
#[tokio::test]
async fn an_unwanted_body_is_refused_at_once() {
    let get = "GET /health HTTP/1.1";
    for (start, fields, length, status) in [
        (POST, "", 101, 413),
        (POST, "", usize::MAX / 2, 413),
        (POST, "Content-Encoding: compress\r\n", 50, 415),
        (get, "", 50, 404),
    ] {
        let wire = Wire::with(|_| Reply::ok("{}"), |layer| layer.max_body_bytes(100)).await;
        let mut client = wire.connect().await;
        client.send(head(start, fields, length)).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), status, "{start} {fields}");
        assert!(matches!(answer.framing, Framing::Length(_)));
        assert_eq!(answer.all("connection"), ["close"]);
        assert!(client.answer_or_end().await.is_none());
        wire.untouched().await;
    }
}

/// The path names the model, so nothing is asked for there either. A client that would send is waited
/// for, and so is answered later, though it has come first.
#[tokio::test]
async fn so_is_one_whose_model_is_known_without_it() {
    let wire = Wire::new().await;
    let post = "POST /v2/models/absent/infer HTTP/1.1";
    let fields = "Content-Type: application/octet-stream\r\n";
    let expecting = head(post, fields, 50_000_000);
    let (mut client, mut other) = (wire.connect().await, wire.connect().await);
    other
        .send(expecting.replace("Expect: 100-continue\r\n", ""))
        .await;
    let mut others = other.message().await;
    client.send(expecting).await;
    let answer = tokio::select! {
        biased;
        answer = client.answer() => answer,
        () = other.reader.read_to_end(&mut others) => panic!("the other was answered first"),
    };
    assert_eq!(answer.status(), 404);
    wire.untouched().await;
}

/// A client that sends the refused body all the same must not have it read as a request.
#[tokio::test]
async fn a_refused_body_is_not_the_next_request() {
    let inner = post_with("", BODY);
    let wire = Wire::with(|_| Reply::ok("{}"), |layer| layer.max_body_bytes(100)).await;
    for expect in ["Expect: 100-continue\r\n", ""] {
        let padding = " ".repeat(101);
        let length = inner.len() + padding.len();
        let head = format!("{POST}\r\nHost: g\r\n{expect}Content-Length: {length}\r\n\r\n");
        let mut client = wire.connect().await;
        client.send(head).await;
        assert_eq!(client.answer().await.status(), 413);
        client.send([&*inner, padding.as_bytes()].concat()).await;
        assert!(client.answer_or_end().await.is_none());
    }
    wire.untouched().await;
}

/// HTTP/1.0 knows no interim answers (RFC 9110 section 10.1.1).
#[tokio::test]
async fn http_1_0_is_not_asked() {
    let wire = Wire::new().await;
    let mut client = wire.connect().await;
    let head = head("POST /v1/chat/completions HTTP/1.0", "", BODY.len());
    client.send(head + BODY).await;
    assert_eq!(client.answer().await.status(), 200);
    assert!(wire.only().await.all("expect").is_empty());
}

/// What the engine says on its own account before its answer ends at the gateway.
#[tokio::test]
async fn the_engines_own_continue_does_not_reach_the_client() {
    let answer = Reply::new("HTTP/1.1 100 Continue\r\n\r\n")
        .then("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let wire = Wire::answering(answer).await;
    let answer = wire.ask(post_with("", BODY)).await;
    assert_eq!((answer.status(), &*answer.text()), (200, "ok"));
}
