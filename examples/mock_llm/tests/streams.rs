//! What the engine streams, and how its streams fail: read as the router reads them.

use std::time::Duration;

use mock_llm::{Engine, Fault, RunningEngine};
use test_kit::{
    socket::{Message, Peer, post_to},
    time::{A_WHILE, within},
};
use tower_model_route::internal::{Dialect, End, Format, Kinds, Reader};

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(3600);

const PATHS: [&str; 4] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
];

fn asked(path: &str, stream: bool) -> Vec<u8> {
    let body = format!(
        r#"{{"model":"m","stream":{stream},"max_tokens":3,"prompt":"a b","input":"a b","messages":[{{"role":"user","content":"a b"}}]}}"#
    );
    post_to(path, "", body)
}

/// Reads on until so many events and comments are there.
async fn read_events(peer: &mut Peer, answer: &mut Message, count: usize) {
    let are_there = |answer: &Message| answer.body.windows(2).filter(|two| two == b"\n\n").count();
    within(async {
        while are_there(answer) < count {
            let bytes = answer.body.len() + 1;
            peer.read(answer, bytes).await;
        }
    })
    .await;
}

/// The kinds of an answer's events, how it ended, and what it said.
struct Heard {
    kinds: Vec<Kinds>,
    end: End,
    reader: Reader,
}

fn hear(path: &str, format: Format, body: &[u8]) -> Heard {
    let mut reader = Reader::new(Dialect::of(path), format);
    let mut rest = body;
    let mut kinds = Vec::new();
    while let Some(event) = reader.next(&mut rest) {
        kinds.push(event.kinds);
    }
    let (last, end) = reader.end();
    kinds.extend(last.map(|event| event.kinds));
    Heard { kinds, end, reader }
}

async fn streamed(engine: &RunningEngine, path: &str) -> Heard {
    let mut peer = Peer::connect(engine.addr()).await;
    peer.send(asked(path, true)).await;
    let answer = within(peer.whole_message()).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    hear(path, Format::Sse, &answer.body)
}

#[tokio::test]
async fn every_api_is_answered_whole_and_streamed() {
    let engine = Engine::new("m").spawn().await.unwrap();
    for path in PATHS {
        let heard = streamed(&engine, path).await;
        let contents = heard.kinds.iter().filter(|kinds| kinds.has(Kinds::CONTENT));
        assert!(contents.count() >= 3, "{path}: {:?}", heard.kinds);
        assert_eq!(heard.end, End::Complete, "{path}");
        assert!(!heard.reader.seen().has(Kinds::MALFORMED), "{path}");

        let mut peer = Peer::connect(engine.addr()).await;
        peer.send(asked(path, false)).await;
        let answer = peer.answer().await;
        let heard = hear(path, Format::Json, &answer.body);
        let whole = [Kinds::CONTENT, Kinds::USAGE, Kinds::TERMINAL];
        assert!(
            whole.into_iter().all(|kind| heard.kinds[0].has(kind)),
            "{path}"
        );
        let usage = heard.reader.usage();
        assert_eq!((usage.input, usage.output), (Some(2), Some(3)), "{path}");
    }
}

#[tokio::test]
async fn an_error_is_an_event_in_the_apis_dialect() {
    let status = |code: u16| Fault::Error(code.try_into().unwrap());
    for (after, code) in [(0, 503), (2, 500), (0, 429)] {
        let engine = Engine::new("m").fault_after(after, status(code));
        let engine = engine.spawn().await.unwrap();
        for path in PATHS {
            let heard = streamed(&engine, path).await;
            assert!(heard.kinds[after].has(Kinds::ERROR), "{path}");
            let said = heard.reader.error().and_then(|error| error.status());
            let expected = match (path, code) {
                ("/v1/messages", 503) => 529,
                _ => code,
            };
            assert_eq!(said.map(|status| status.as_u16()), Some(expected), "{path}");
        }
    }
}

#[tokio::test]
async fn a_stream_ends_early_or_with_an_event_cut_short() {
    let engine = Engine::new("m").fault_after(2, Fault::End);
    let engine = engine.spawn().await.unwrap();
    for path in PATHS {
        let heard = streamed(&engine, path).await;
        assert_eq!(
            (heard.kinds.len(), heard.end),
            (2, End::Unterminated),
            "{path}"
        );
    }
    let engine = Engine::new("m").fault_after(1, Fault::Malformed);
    let engine = engine.spawn().await.unwrap();
    for path in PATHS {
        let heard = streamed(&engine, path).await;
        assert!(heard.kinds[1].has(Kinds::MALFORMED), "{path}");
    }
}

/// Reads on for a while, in which the answer does not end.
async fn never_ends(peer: &mut Peer, answer: &mut Message) {
    let more = tokio::time::timeout(A_WHILE, async {
        loop {
            let bytes = answer.body.len() + 1;
            peer.read(answer, bytes).await;
        }
    });
    let never: Result<(), _> = more.await;
    assert!(never.is_err());
}

#[tokio::test]
async fn a_stream_hangs_with_comments_or_without() {
    for (after, comments) in [(0, true), (2, true), (2, false)] {
        let mut engine = Engine::new("m").fault_after(after, Fault::Hang);
        if comments {
            engine = engine.comments(SHORT);
        }
        let engine = engine.spawn().await.unwrap();
        for path in PATHS {
            let mut peer = Peer::connect(engine.addr()).await;
            peer.send(asked(path, true)).await;
            let mut answer = peer.message().await;
            let expected = after + if comments { 3 } else { 0 };
            read_events(&mut peer, &mut answer, expected).await;
            never_ends(&mut peer, &mut answer).await;
            let heard = hear(path, Format::Sse, &answer.body);
            let is_comment = |kinds: &&Kinds| kinds.has(Kinds::PING);
            let seen = heard.kinds.iter().filter(is_comment).count();
            assert_eq!(heard.kinds.len() - seen, after, "{path}");
            assert_eq!(seen > 2, comments, "{path}");
        }
    }
}

#[tokio::test]
async fn a_connection_breaks_within_a_stream() {
    let engine = Engine::new("m").fault_after(1, Fault::Break);
    let engine = engine.spawn().await.unwrap();
    for path in PATHS {
        let mut peer = Peer::connect(engine.addr()).await;
        peer.send(asked(path, true)).await;
        let mut answer = peer.message().await;
        within(peer.reader.read_to_end(&mut answer)).await;
        assert_eq!(answer.status(), 200);
        assert!(!answer.complete, "{path}");
        let heard = hear(path, Format::Sse, &answer.body);
        assert_eq!((heard.kinds.len(), heard.end), (1, End::Unterminated));
    }
}

#[tokio::test]
async fn the_first_event_or_the_first_token_comes_late() {
    for (engine, before) in [
        (Engine::new("m").first_event_delay(LONG), 0),
        (Engine::new("m").first_token_delay(LONG), 1),
    ] {
        let engine = engine.comments(SHORT).spawn().await.unwrap();
        for path in PATHS {
            let mut peer = Peer::connect(engine.addr()).await;
            peer.send(asked(path, true)).await;
            let mut answer = peer.message().await;
            peer.read(&mut answer, before * 100 + 60).await;
            never_ends(&mut peer, &mut answer).await;
            let heard = hear(path, Format::Sse, &answer.body);
            let events = heard.kinds.iter().filter(|kinds| !kinds.has(Kinds::PING));
            assert!(events.clone().all(|kinds| !kinds.has(Kinds::CONTENT)));
            // Completions have no event before their first token.
            let has_begun = before > 0 && path != PATHS[1];
            assert_eq!(events.count() > 0, has_begun, "{path}");
        }
    }
}
