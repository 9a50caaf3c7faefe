//! The request is at the engine as soon as its model is known, and the rest follows.

use test_kit::{
    document::{Document, GROWTH, assert_same},
    socket::{Between, Framing, LAST_CHUNK, chunk, chunked_head, head, head_with_length},
};

/// How the client tells the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Before,
    InChunks,
}

/// The client sends `now` bytes of the document, and the rest only once they are at the engine.
async fn assert_forwarded(document: &Document, now: usize, told: Told) {
    let (body, expected) = (document.sent(), document.forwarded());
    let (now, later) = body.split_at(now);
    let gateway = Between::new().await;
    let mut client = gateway.client().await;
    let (first, rest) = match told {
        Told::Before => (
            [&head_with_length(body.len()), now].concat(),
            later.to_vec(),
        ),
        Told::InChunks => {
            let rest: Vec<_> = later.chunks(1_000_007).flat_map(chunk).collect();
            let rest = [&rest, LAST_CHUNK.as_bytes()].concat();
            ([chunked_head(), chunk(now)].concat(), rest)
        }
    };
    client.send(first).await;

    let mut engine = gateway.engine().await;
    let mut request = engine.message().await;
    let there = now.len() + GROWTH;
    engine.read(&mut request, there).await;
    assert_same(&request.body, &expected[..there]);
    assert_eq!(
        request.framing,
        match told {
            Told::Before => Framing::Length(expected.len()),
            Told::InChunks => Framing::Chunked,
        }
    );
    assert_eq!(gateway.in_flight(), 1);

    tokio::join!(
        client.writer.send(rest),
        engine.reader.read_to_end(&mut request)
    );
    assert!(request.complete);
    assert_same(&request.body, &expected);
    engine.reply().await;
    assert_eq!(client.whole_message().await.status(), 200);
    gateway.is_idle().await;
}

/// Of a small upload and of a large one the engine sees the same first bytes, so the time that
/// they take does not depend on what is still to come.
#[tokio::test]
async fn the_first_bytes_arrive_before_the_rest_is_sent() {
    for size in [2_000, 100_000_000] {
        assert_forwarded(&Document::model_first(size), 100, Told::Before).await;
    }
}

#[tokio::test]
async fn chunks_stay_chunks() {
    for size in [2_000, 10_000_000] {
        assert_forwarded(&Document::model_first(size), 100, Told::InChunks).await;
    }
}

#[tokio::test]
async fn what_stands_before_the_model_follows_it_at_once() {
    for told in [Told::Before, Told::InChunks] {
        // The least that is larger than any one read, and so comes in several.
        for before in [0, 1_000, 3_000_000] {
            let document = Document::model_in_the_middle(before);
            assert_forwarded(&document, document.named_at(), told).await;
        }
    }
}

/// The rest is the one byte that ends the document.
#[tokio::test]
async fn the_model_at_the_end() {
    let document = Document::new(r#"{"messages":[],"model":"#, "}");
    for told in [Told::Before, Told::InChunks] {
        assert_forwarded(&document, document.named_at(), told).await;
    }
}

#[tokio::test]
async fn nothing_goes_out_before_the_model_has_ended() {
    let document = Document::model_in_the_middle(10);
    let body = document.sent();
    let (now, later) = body.split_at(document.named_at() - 1);
    let gateway = Between::new().await;
    let mut client = gateway.client().await;
    client
        .send([&head_with_length(body.len()), now].concat())
        .await;
    gateway.leaves_the_engine_alone().await;
    assert_eq!(gateway.in_flight(), 0);

    let (quote, later) = later.split_at(1);
    client.send(quote).await;
    let mut engine = gateway.engine().await;
    let mut request = engine.message().await;
    engine
        .read(&mut request, document.named_at() + GROWTH)
        .await;
    client.send(later).await;
    engine.reader.read_to_end(&mut request).await;
    assert_same(&request.body, &document.forwarded());
}

/// Each in a packet of its own, as far as one can make them be.
#[tokio::test]
async fn a_model_that_comes_byte_by_byte() {
    let document = Document::new(r#"{"mod\u0065l" : "#, r#" ,"stream":true}"#);
    let body = document.sent();
    for told in [Told::Before, Told::InChunks] {
        let gateway = Between::new().await;
        let mut client = gateway.client().await;
        client
            .send(match told {
                Told::Before => head_with_length(body.len()),
                Told::InChunks => chunked_head(),
            })
            .await;
        for byte in &body {
            match told {
                Told::Before => client.send([*byte]).await,
                Told::InChunks => client.send(chunk([*byte])).await,
            }
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        }
        if told == Told::InChunks {
            client.send(LAST_CHUNK).await;
        }
        let mut engine = gateway.engine().await;
        let request = engine.whole_message().await;
        assert!(request.complete);
        assert_same(&request.body, &document.forwarded());
        engine.reply().await;
        assert_eq!(client.whole_message().await.status(), 200);
    }
}

#[tokio::test]
async fn a_model_that_keeps_its_name_changes_no_byte() {
    let body = Document::model_first(5_000).forwarded();
    let (now, later) = body.split_at(100);
    let gateway = Between::new().await;
    let mut client = gateway.client().await;
    client
        .send([&head_with_length(body.len()), now].concat())
        .await;
    let mut engine = gateway.engine().await;
    let mut request = engine.message().await;
    engine.read(&mut request, now.len()).await;
    client.send(later).await;
    engine.reader.read_to_end(&mut request).await;
    assert_eq!(request.framing, Framing::Length(body.len()));
    assert_same(&request.body, &body);
}

#[tokio::test]
async fn announced_trailers_come_after_a_body_that_was_forwarded() {
    let document = Document::new(r#"{"model":"#, r#","x":[]}"#);
    let body = document.sent();
    let (now, later) = body.split_at(document.named_at());
    let gateway = Between::new().await;
    let mut client = gateway.client().await;
    let fields = "Transfer-Encoding: chunked\r\nTrailer: x-sum, x-count\r\n";
    client.send([head(fields), chunk(now)].concat()).await;
    let mut engine = gateway.engine().await;
    let mut request = engine.message().await;
    engine.read(&mut request, now.len() + GROWTH).await;
    assert_eq!(request.field("trailer"), Some("x-sum, x-count"));
    let end = "0\r\nX-Sum: abc\r\nX-Count: 2\r\n\r\n";
    client.send([&chunk(later), end.as_bytes()].concat()).await;
    engine.reader.read_to_end(&mut request).await;
    assert!(request.complete);
    assert_same(&request.body, &document.forwarded());
    assert_eq!(request.trailer_lines(), ["x-sum: abc", "x-count: 2"]);
}

/// A client that waits for permission gets it, and its body is forwarded like any other.
#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let document = Document::model_first(2_000);
    let body = document.sent();
    let gateway = Between::new().await;
    let mut client = gateway.client().await;
    let fields = format!("Expect: 100-continue\r\nContent-Length: {}\r\n", body.len());
    client.send(head(&fields)).await;
    client.reader.expect("HTTP/1.1 100 Continue\r\n\r\n").await;
    let (now, later) = body.split_at(100);
    client.send(now).await;
    let mut engine = gateway.engine().await;
    let mut request = engine.message().await;
    assert_eq!(request.field("expect"), None);
    engine.read(&mut request, now.len() + GROWTH).await;
    client.send(later).await;
    engine.reader.read_to_end(&mut request).await;
    assert_same(&request.body, &document.forwarded());
}
