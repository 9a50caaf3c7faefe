//! Back-pressure: who reads slowly is waited for, and nothing piles up in the gateway.

use test_kit::{
    document::{Document, GROWTH, assert_same, filler},
    socket::{Between, LAST_CHUNK, Message, chunk, chunked_head, head_with_length},
};

const MB: usize = 1 << 20;

/// More than all buffers of both connections and of hyper's on both sides, and far less than what
/// is sent. The gateway itself has no reason to hold more than `replay_bytes`.
const HELD: usize = 10 * MB;

#[tokio::test]
async fn an_engine_that_does_not_read_stops_the_client() {
    let document = Document::model_first(40 * MB);
    for chunked in [false, true] {
        let body = document.sent();
        let sent = if chunked {
            let chunks: Vec<_> = body.chunks(MB - 1).flat_map(chunk).collect();
            [&chunked_head(), &*chunks, LAST_CHUNK.as_bytes()].concat()
        } else {
            [head_with_length(body.len()), body].concat()
        };
        let gateway = Between::new().await;
        let mut client = gateway.client().await;
        let stuck = client.writer.send_until_stuck(&sent).await;
        assert!(stuck < HELD, "{stuck} bytes were taken off the client");

        // It goes on as soon as the engine reads, and as far as it reads.
        let mut engine = gateway.engine().await;
        let mut request = engine.message().await;
        engine.read(&mut request, 1_000).await;
        let stuck = stuck + client.writer.send_until_stuck(&sent[stuck..]).await;
        assert!(stuck < HELD, "{stuck} bytes were taken off the client");

        tokio::join!(
            client.writer.send(&sent[stuck..]),
            engine.reader.read_to_end(&mut request)
        );
        assert!(request.complete);
        assert_same(&request.body, &document.forwarded());
        engine.reply().await;
        assert_eq!(client.whole_message().await.status(), 200);
    }
}

/// Neither does it matter where the model stands: what had to be held for it is let go.
#[tokio::test]
async fn an_engine_that_does_not_read_stops_the_client_behind_a_late_model() {
    let document = Document::model_in_the_middle(16 * MB);
    let body = document.sent();
    let gateway = Between::new().await;
    let mut client = gateway.client().await;
    let (first, rest) = body.split_at(document.named_at());
    let head = head_with_length(body.len());
    client.send([&head, first].concat()).await;
    let stuck = client.writer.send_until_stuck(rest).await;
    assert!(stuck < HELD, "{stuck} bytes more were taken off the client");
    let mut engine = gateway.engine().await;
    let mut request = engine.message().await;
    tokio::join!(
        client.writer.send(&rest[stuck..]),
        engine.reader.read_to_end(&mut request)
    );
    assert_same(&request.body, &document.forwarded());
}

/// What the client sends is passed on as it comes, and not held until there is more of it.
#[tokio::test]
async fn a_slow_client_is_followed_step_by_step() {
    let document = Document::model_first(3_000);
    let (body, expected) = (document.sent(), document.forwarded());
    let gateway = Between::new().await;
    let mut client = gateway.client().await;
    client.send(head_with_length(body.len())).await;
    let mut connected: Option<(_, Message)> = None;
    for (n, piece) in body.chunks(500).enumerate() {
        client.send(piece).await;
        let (engine, request) = match &mut connected {
            Some(connected) => connected,
            none => {
                let mut engine = gateway.engine().await;
                let request = engine.message().await;
                none.insert((engine, request))
            }
        };
        let there = n * 500 + piece.len() + GROWTH;
        engine.read(request, there).await;
        assert_same(&request.body, &expected[..there]);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_engine() {
    let answer = filler(40 * MB);
    let body = Document::model_first(1_000).sent();
    let gateway = Between::new().await;
    let mut client = gateway.client().await;
    client
        .send([head_with_length(body.len()), body].concat())
        .await;
    let mut engine = gateway.engine().await;
    assert!(engine.whole_message().await.complete);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        answer.len()
    );
    engine.send(head).await;
    let stuck = engine.writer.send_until_stuck(&answer).await;
    assert!(stuck < HELD, "{stuck} bytes were taken off the engine");
    let (received, ()) = tokio::join!(client.whole_message(), engine.writer.send(&answer[stuck..]));
    assert!(received.complete);
    assert_same(&received.body, &answer);
}
