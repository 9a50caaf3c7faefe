//! Engines that answer before they have read the request to its end.

use test_kit::{
    document::{Document, GROWTH, assert_same},
    socket::{Between, Message, Peer, head_with_length},
};

const REFUSAL: &str =
    "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nwait";

/// An upload of `size` bytes of which the engine has the first, and the rest of it.
async fn begun(size: usize) -> (Between, Peer, Peer, Message, Vec<u8>) {
    let mut body = Document::model_first(size).sent();
    let gateway = Between::new().await;
    let mut client = gateway.client().await;
    let head = head_with_length(body.len());
    let later = body.split_off(100);
    client.send([head, body].concat()).await;
    let mut engine = gateway.engine().await;
    let mut request = engine.message().await;
    engine.read(&mut request, 100 + GROWTH).await;
    (gateway, client, engine, request, later)
}

fn assert_refusal(answer: &Message) {
    assert_eq!(answer.start, "HTTP/1.1 429 Too Many Requests");
    assert_eq!(answer.field("retry-after"), Some("7"));
    assert_eq!(answer.body, b"wait");
    assert!(answer.complete);
}

#[tokio::test]
async fn a_client_that_has_stopped_sending_gets_the_answer() {
    let (gateway, mut client, mut engine, ..) = begun(20_000_000).await;
    engine.send(REFUSAL).await;
    assert_refusal(&client.whole_message().await);
    gateway.is_idle().await;
}

/// The rest of the upload is nobody's any more: it fills all buffers, and still the answer comes.
#[tokio::test]
async fn a_client_that_is_stuck_gets_the_answer() {
    let (gateway, mut client, mut engine, _, later) = begun(40_000_000).await;
    let sent = client.writer.send_until_stuck(&later).await;
    assert!(sent < later.len(), "the engine has read nothing");
    engine.send(REFUSAL).await;
    assert_refusal(&client.whole_message().await);
    gateway.is_idle().await;
}

/// As an engine does that wants no more requests on this connection either.
#[tokio::test]
async fn an_engine_that_answers_and_closes() {
    let (gateway, mut client, mut engine, ..) = begun(20_000_000).await;
    engine.send(REFUSAL).await;
    drop(engine);
    assert_refusal(&client.whole_message().await);
    gateway.is_idle().await;
}

/// The engine may say that it begins, then read the rest, then say more.
#[tokio::test]
async fn an_answer_that_goes_on_while_the_upload_does() {
    let (gateway, mut client, mut engine, mut request, later) = begun(5_000_000).await;
    engine
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .await;
    let mut answer = client.message().await;
    client.read(&mut answer, 5).await;
    assert_eq!((answer.status(), &*answer.body), (200, &b"first"[..]));
    assert_eq!(gateway.in_flight(), 1);

    tokio::join!(
        client.writer.send(later),
        engine.reader.read_to_end(&mut request)
    );
    assert!(request.complete);
    assert_same(&request.body, &Document::model_first(5_000_000).forwarded());
    engine.send("6\r\nsecond\r\n0\r\n\r\n").await;
    client.reader.read_to_end(&mut answer).await;
    assert_eq!(answer.body, b"firstsecond");
    assert!(answer.complete);
    gateway.is_idle().await;
}

/// What the engine has begun to say stands, but it never gets a body that only looks whole.
#[tokio::test]
async fn an_upload_that_goes_wrong_behind_its_answer() {
    let (gateway, mut client, mut engine, mut request, mut later) = begun(10_000).await;
    engine.send(REFUSAL).await;
    assert_refusal(&client.whole_message().await);
    // The document lacks its end.
    later.pop();
    later.push(b' ');
    client.send(later).await;
    engine.reader.read_to_end(&mut request).await;
    assert!(!request.complete);
    gateway.is_idle().await;
}

/// One that has been read whole is of no other kind than before.
#[tokio::test]
async fn an_answer_while_the_rest_is_sent_to_its_end() {
    let (gateway, mut client, mut engine, mut request, later) = begun(10_000).await;
    engine.send(REFUSAL).await;
    assert_refusal(&client.whole_message().await);
    client.send(later).await;
    engine.reader.read_to_end(&mut request).await;
    assert!(request.complete);
    assert_same(&request.body, &Document::model_first(10_000).forwarded());
    gateway.is_idle().await;
}
