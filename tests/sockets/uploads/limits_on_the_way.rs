//! Limits that a body passes when it is already on its way.

use test_kit::{
    document::{Document, GROWTH, assert_same, filler},
    socket::{Between, LAST_CHUNK, chunk, chunked_head, head_with_length},
};

#[tokio::test]
async fn a_body_that_outgrows_its_limit_is_cut_off() {
    let limit = 10_000;
    for more in [1, 3_000_000] {
        let gateway = Between::with(|layer| layer.max_body_bytes(limit)).await;
        let mut client = gateway.client().await;
        let document = Document::model_first(limit + more);
        let body = document.sent();
        client
            .send([chunked_head(), chunk(&body[..limit])].concat())
            .await;
        let mut engine = gateway.engine().await;
        let mut request = engine.message().await;
        engine.read(&mut request, limit + GROWTH).await;
        client.send(chunk(&body[limit..])).await;
        engine.reader.read_to_end(&mut request).await;
        assert!(!request.complete);
        assert_same(&request.body, &document.forwarded()[..limit + GROWTH]);
        let answer = client.whole_message().await;
        assert_eq!((answer.status(), &*answer.code()), (413, "body_too_large"));
        gateway.is_idle().await;
    }
}

#[tokio::test]
async fn a_body_as_large_as_its_limit_passes() {
    let limit = 10_000;
    let gateway = Between::with(|layer| layer.max_body_bytes(limit)).await;
    let mut client = gateway.client().await;
    let document = Document::model_first(limit);
    let body = document.sent();
    let (now, later) = body.split_at(100);
    client.send([chunked_head(), chunk(now)].concat()).await;
    let mut engine = gateway.engine().await;
    let mut request = engine.message().await;
    engine.read(&mut request, now.len() + GROWTH).await;
    client
        .send([&chunk(later), LAST_CHUNK.as_bytes()].concat())
        .await;
    engine.reader.read_to_end(&mut request).await;
    assert!(request.complete);
    engine.reply().await;
    assert_eq!(client.whole_message().await.status(), 200);
}

#[tokio::test]
async fn a_body_that_stops_coming_is_given_up() {
    let wait = test_kit::time::A_WHILE;
    for chunked in [false, true] {
        let gateway = Between::with(|layer| layer.body_timeout(wait)).await;
        let mut client = gateway.client().await;
        let document = Document::model_first(10_000);
        let body = document.sent();
        let now = &body[..100];
        let sent = if chunked {
            [chunked_head(), chunk(now)].concat()
        } else {
            [&head_with_length(body.len()), now].concat()
        };
        client.send(sent).await;
        let mut engine = gateway.engine().await;
        let mut request = engine.message().await;
        engine.reader.read_to_end(&mut request).await;
        assert!(!request.complete);
        assert_same(&request.body, &document.forwarded()[..now.len() + GROWTH]);
        let answer = client.whole_message().await;
        assert_eq!((answer.status(), &*answer.code()), (408, "request_timeout"));
        gateway.is_idle().await;
    }
}

/// Only so much is held while nobody can say where it goes.
#[tokio::test]
async fn a_model_that_does_not_come_in_time() {
    let limit = 100_000;
    for chunked in [false, true] {
        let gateway = Between::with(|layer| layer.max_buffer_bytes(limit)).await;
        let mut client = gateway.client().await;
        let body = [br#"{"x":""#, &*filler(limit - 5)].concat();
        assert_eq!(body.len(), limit + 1);
        let sent = if chunked {
            [chunked_head(), chunk(&body)].concat()
        } else {
            [head_with_length(10 * limit), body].concat()
        };
        client.send(sent).await;
        let answer = client.whole_message().await;
        assert_eq!((answer.status(), &*answer.code()), (413, "body_too_large"));
        gateway.leaves_the_engine_alone().await;
        gateway.is_idle().await;
    }
}

/// The limit is not one of the body: behind the model there may be any amount.
#[tokio::test]
async fn a_model_that_comes_just_in_time() {
    let limit = 100_000;
    let before = limit - r#"{"x":"","model":"alias""#.len();
    let document = Document::new(
        [br#"{"x":""#, &*filler(before), br#"","model":"#].concat(),
        [br#","y":""#, &*filler(10 * limit), br#""}"#].concat(),
    );
    assert_eq!(document.named_at(), limit);
    let gateway = Between::with(|layer| layer.max_buffer_bytes(limit)).await;
    let mut client = gateway.client().await;
    let body = document.sent();
    let (now, later) = body.split_at(limit);
    client
        .send([&head_with_length(body.len()), now].concat())
        .await;
    let mut engine = gateway.engine().await;
    let mut request = engine.message().await;
    tokio::join!(
        client.writer.send(later),
        engine.reader.read_to_end(&mut request)
    );
    assert_same(&request.body, &document.forwarded());
}

/// What is announced as too large is not even waited for.
#[tokio::test]
async fn an_announced_length_over_the_limit() {
    let gateway = Between::with(|layer| layer.max_body_bytes(1_000)).await;
    let mut client = gateway.client().await;
    client.send(head_with_length(1_001)).await;
    let answer = client.whole_message().await;
    assert_eq!((answer.status(), &*answer.code()), (413, "body_too_large"));
    gateway.leaves_the_engine_alone().await;
}
