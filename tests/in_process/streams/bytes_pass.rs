//! Whatever an engine sends, in whatever pieces, is what the client gets; at most an error event
//! comes behind it.

use axum::body::Body;
use http_body_util::BodyExt;
use proptest::{prelude::*, sample::select};
use test_kit::{body::script, engines::answers, gateway::Rig, paused};
use tower_model_route::{OnInterruption, TrafficPolicy};

use super::{ALL, CHAT, Dialect, SECOND};

/// Events of all dialects, and what is none.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let known = ALL.map(|of| [of.start, of.content, of.terminal, of.ping]);
    prop_oneof![
        8 => select(known.concat()).prop_map(|part| part.as_bytes().to_vec()),
        1 => Just(b"data: {\"error\":{\"message\":\"m\",\"code\":500}}\n\n".to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..30),
        1 => Just(b"\r\n\r\n: x\r\ndata:{}\r\r".to_vec()),
    ]
}

/// Whether this may stand behind what the engine has sent: nothing, or one error event; before it
/// the end of an event that has none.
fn is_farewell(rest: &[u8]) -> bool {
    let event = std::str::from_utf8(rest).unwrap().trim();
    let data = event.strip_prefix("event: error\n").unwrap_or(event);
    let data = data.strip_prefix("data: ").unwrap_or(data);
    let json = serde_json::from_str::<serde_json::Value>(data);
    event.is_empty() || json.is_ok_and(|json| json.get("error").is_some())
}

async fn received(
    dialect: &Dialect,
    content_type: &'static str,
    policy: TrafficPolicy,
    pieces: Vec<Vec<u8>>,
    is_lost: bool,
) -> (u16, Vec<u8>) {
    let rig = Rig::one(1, policy);
    let (script, body) = script();
    for piece in pieces {
        script.data(piece);
    }
    match is_lost {
        true => script.fail("reset"),
        false => script.end(),
    };
    rig.engines
        .next([answers(200, body).header("content-type", content_type)]);
    let answer = rig.send(dialect.request()).await;
    let status = answer.status().as_u16();
    let mut body: Body = answer.into_body();
    let mut all = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        all.extend(frame.into_data().unwrap_or_default());
    }
    assert_eq!(rig.in_flight(), 0);
    (status, all)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_sent_is_what_comes(
        dialect in select(&ALL[..]),
        content_type in select(&["text/event-stream", "application/x-ndjson", "application/json", "text/plain"][..]),
        parts in proptest::collection::vec(part(), 0..12),
        cuts in proptest::collection::vec(1_usize..40, 1..40),
        what in select(&[OnInterruption::Event, OnInterruption::Abort, OnInterruption::Pass][..]),
        (gate, keepalive, is_lost) in any::<(bool, bool, bool)>(),
    ) {
        let sent = parts.concat();
        let mut rest = &sent[..];
        let mut pieces = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece.to_vec());
            rest = after;
        }
        let mut policy = TrafficPolicy::new().on_interruption(what).first_event_gate(gate);
        if keepalive {
            policy = policy.sse_keepalive(10 * SECOND);
        }
        let (status, got) = paused::runtime().block_on(received(dialect, content_type, policy, pieces, is_lost));
        // Held back, the answer may be none.
        if status == 200 {
            prop_assert!(got.starts_with(&sent), "{}", String::from_utf8_lossy(&got));
            let behind = got.get(sent.len()..).unwrap_or_default();
            prop_assert!(is_farewell(behind), "{}", String::from_utf8_lossy(behind));
            if what != OnInterruption::Event {
                prop_assert!(behind.is_empty());
            }
        } else {
            prop_assert!(gate);
        }
    }
}

/// A thousand frames, each a byte.
#[tokio::test(start_paused = true)]
async fn a_stream_of_single_bytes_is_the_same_stream() {
    let sent = [
        CHAT.start,
        CHAT.content,
        CHAT.ping,
        CHAT.content,
        CHAT.terminal,
    ]
    .concat();
    let pieces = sent.bytes().map(|byte| vec![byte]).collect();
    let policy = TrafficPolicy::new().first_event_gate(true);
    let (status, got) = received(&CHAT, "text/event-stream", policy, pieces, false).await;
    assert_eq!((status, got), (200, sent.into_bytes()));
}
