//! Either side goes away in the middle of an upload.

use test_kit::{
    document::{Document, GROWTH, assert_same},
    socket::{Between, Message, Peer, chunk, chunked_head, head_with_length},
};

/// A request of which the engine has the first bytes, with its length or in chunks.
async fn begun(document: &Document, chunked: bool) -> (Between, Peer, Peer, Message) {
    let body = document.sent();
    let now = &body[..100];
    let gateway = Between::new().await;
    let mut client = gateway.client().await;
    let sent = if chunked {
        [chunked_head(), chunk(now)].concat()
    } else {
        [&head_with_length(body.len()), now].concat()
    };
    client.send(sent).await;
    let mut engine = gateway.engine().await;
    let mut request = engine.message().await;
    engine.read(&mut request, now.len() + GROWTH).await;
    assert_eq!(gateway.in_flight(), 1);
    (gateway, client, engine, request)
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    let document = Document::model_first(10_000);
    for chunked in [false, true] {
        let (gateway, client, mut engine, mut request) = begun(&document, chunked).await;
        drop(client);
        engine.reader.read_to_end(&mut request).await;
        assert!(!request.complete);
        assert_same(&request.body, &document.forwarded()[..100 + GROWTH]);
        gateway.is_idle().await;
    }
}

/// A document may be whole where a client breaks off in the middle of a chunked body's framing.
#[tokio::test]
async fn a_whole_document_without_its_last_chunk_is_not_a_whole_request() {
    let document = Document::new(r#"{"model":"#, "}");
    let gateway = Between::new().await;
    let mut client = gateway.client().await;
    let sent = [chunked_head(), chunk(document.sent())].concat();
    client.send(sent).await;
    let mut engine = gateway.engine().await;
    let mut request = engine.message().await;
    engine.read(&mut request, document.forwarded().len()).await;
    client.writer.shut_down().await;
    engine.reader.read_to_end(&mut request).await;
    assert!(!request.complete);
    gateway.is_idle().await;
}

/// A client that has said goodbye too early does not get a 200 for the half that it sent.
#[tokio::test]
async fn a_client_that_only_stops_sending() {
    let document = Document::model_first(10_000);
    for chunked in [false, true] {
        let (gateway, mut client, mut engine, mut request) = begun(&document, chunked).await;
        client.writer.shut_down().await;
        engine.reader.read_to_end(&mut request).await;
        assert!(!request.complete);
        gateway.is_idle().await;
    }
}

#[tokio::test]
async fn an_engine_that_leaves_is_unreachable() {
    for chunked in [false, true] {
        // Whether the client waits, or is still sending.
        for size in [10_000, 20_000_000] {
            let document = Document::model_first(size);
            let (gateway, mut client, engine, _) = begun(&document, chunked).await;
            drop(engine);
            let answer = if size > 10_000 {
                let rest = document.sent().split_off(100);
                let rest = if chunked { chunk(rest) } else { rest };
                // It is answered although nobody takes all of what it has to say.
                let sending = client.writer.send(rest);
                let answer = client.reader.message();
                tokio::select! {
                    answer = answer => answer,
                    answer = async { sending.await; std::future::pending().await } => answer,
                }
            } else {
                client.message().await
            };
            assert_eq!(answer.status(), 502);
            gateway.is_idle().await;
        }
    }
}
