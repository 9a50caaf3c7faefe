//! `force_usage`: the engine is asked for usage in the client's stead, and the client's stream is
//! byte for byte what it would have been.

use axum::body::Body;
use bytes::Bytes;
use http::Request;
use proptest::prelude::*;
use serde_json::Value;
use test_kit::{
    answer::Answer,
    body::script,
    engines::{Act, says, status, streams},
    gateway::Rig,
    paused,
    table::{retries, server, single, table},
};
use tower_model_route::{EndKind, ModelRouteLayer, Rule, TargetModel};

use super::{End, Heard};

const USAGE: &str = "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":8,\"total_tokens\":17}}\n\n";
const PARTS: [&str; 4] = [
    "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"content\":\"a\\\"b\"}}]}\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: [DONE]\n\n",
];

fn forced(heard: &Heard) -> Rig {
    heard.rig(table(
        [server(2, retries(1)).force_usage(true)],
        Rule::new("rule").target("server"),
    ))
}

/// The engine's stream in chunks of this size.
fn stream(text: &str, size: usize) -> Act {
    let (feed, body) = script();
    text.as_bytes()
        .chunks(size)
        .for_each(|chunk| _ = feed.send(chunk));
    feed.end();
    streams(body)
}

fn ask(path: &str, body: &str) -> Request<Body> {
    Request::post(path)
        .body(Body::from(body.to_owned()))
        .unwrap()
}

/// What the engine got, what the client got, and the end.
async fn one(rig: &Rig, heard: &Heard, path: &str, body: &str) -> (String, Bytes, End) {
    let answer = Answer::of(rig.send(ask(path, body)).await).await;
    let sent = rig.engines.attempts().pop().unwrap();
    (sent.text().to_owned(), answer.body.unwrap(), heard.end())
}

#[tokio::test(start_paused = true)]
async fn the_engine_is_asked_and_the_client_gets_the_rest() {
    let heard = Heard::default();
    let rig = forced(&heard);
    let whole = [PARTS[0], PARTS[1], PARTS[2], USAGE, PARTS[3]].concat();
    for path in ["/v1/chat/completions", "/v1/completions"] {
        for size in [1, 3, 50, 5000] {
            rig.engines.next([stream(&whole, size)]);
            let body = r#"{"model":"asked","stream":true}"#;
            let (sent, got, end) = one(&rig, &heard, path, body).await;
            assert_eq!(
                sent,
                r#"{"stream_options":{"include_usage":true},"model":"real","stream":true}"#
            );
            assert_eq!(got, PARTS.concat(), "by {size}");
            assert_eq!(
                (end.usage.input, end.usage.output, end.exact),
                (Some(9), Some(8), true)
            );
            assert_eq!((end.kind, end.contents), (EndKind::Ok, 1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_itself_gets_what_it_asks_for() {
    let heard = Heard::default();
    let rig = forced(&heard);
    let whole = [PARTS[1], PARTS[2], USAGE, PARTS[3]].concat();
    for body in [
        r#"{"model":"real","stream":true,"stream_options":{"include_usage":true}}"#,
        r#"{"model":"real","stream":false}"#,
    ] {
        rig.engines.next([stream(&whole, 50)]);
        let body = body.replace("real", "asked");
        let (sent, got, _) = one(&rig, &heard, "/v1/chat/completions", &body).await;
        assert_eq!(sent, body.replace("asked", "real"));
        assert_eq!(got, whole);
    }
    // Other APIs report usage unasked, and have no such option.
    rig.engines.next([says(200, "x")]);
    let body = r#"{"model":"asked","stream":true}"#;
    let (sent, ..) = one(&rig, &heard, "/v1/messages", body).await;
    assert_eq!(sent, body.replace("asked", "real"));
}

/// It is the ModelServer's that an attempt goes to.
#[tokio::test(start_paused = true)]
async fn each_attempt_goes_by_its_own_server() {
    let heard = Heard::default();
    let rig = heard.rig(table(
        [
            single("a", retries(1)),
            single("b", retries(1)).force_usage(true),
        ],
        Rule::new("rule")
            .target(TargetModel::new("a").weight(1))
            .fallback("b"),
    ));
    let whole = [PARTS[1], PARTS[2], USAGE, PARTS[3]].concat();
    rig.engines.next([status(503), stream(&whole, 50)]);
    let body = r#"{"model":"asked","stream":true}"#;
    let answer = Answer::of(rig.send(ask("/v1/chat/completions", body)).await).await;
    let sent: Vec<Value> = rig
        .engines
        .attempts()
        .iter()
        .map(|sent| serde_json::from_str(sent.text()).unwrap())
        .collect();
    assert_eq!(sent[0].get("stream_options"), None);
    assert_eq!(sent[1]["stream_options"]["include_usage"], true);
    assert_eq!(
        (&sent[0]["model"], &sent[1]["model"]),
        (&"a-model".into(), &"b-model".into())
    );
    assert_eq!(answer.text(), [PARTS[1], PARTS[2], PARTS[3]].concat());
    assert!(heard.end().exact);
}

/// It is no matter of observers.
/// The chunk that is to be hidden could not be found in what is compressed.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_asked_for_usage_is_not_compressed() {
    let heard = Heard::default();
    let rig = forced(&heard);
    for (body, coding) in [
        (r#"{"model":"asked","stream":true}"#, "identity"),
        (r#"{"model":"asked","stream":false}"#, "gzip"),
    ] {
        let mut request = ask("/v1/chat/completions", body);
        let headers = request.headers_mut();
        headers.insert("accept-encoding", "gzip".parse().unwrap());
        rig.engines.next([stream(&PARTS.concat(), 1000)]);
        Answer::of(rig.send(request).await).await;
        let sent = rig.engines.attempts().pop().unwrap();
        assert_eq!(sent.header("accept-encoding"), Some(coding));
    }
}

/// A client may take an event for whole only with the line feed behind it.
#[tokio::test(start_paused = true)]
async fn an_event_does_not_wait_for_the_next_one_whatever_ends_its_lines() {
    use http_body_util::BodyExt;
    let heard = Heard::default();
    let rig = forced(&heard);
    let (feed, body) = script();
    rig.engines.next([streams(body)]);
    let request = ask("/v1/chat/completions", r#"{"model":"asked","stream":true}"#);
    let mut answer = rig.send(request).await;
    for part in &PARTS[..3] {
        let part = part.replace('\n', "\r\n");
        feed.send(&part);
        let frame = answer.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), part);
    }
}

#[tokio::test(start_paused = true)]
async fn the_usage_is_hidden_where_nobody_listens() {
    let rig = Rig::with(
        table(
            [server(1, retries(0)).force_usage(true)],
            Rule::new("rule").target("server"),
        ),
        ModelRouteLayer::new,
    );
    rig.engines
        .next([stream(&[PARTS[1], USAGE, PARTS[3]].concat(), 7)]);
    let body = r#"{"model":"asked","stream":true}"#;
    let answer = Answer::of(rig.send(ask("/v1/chat/completions", body)).await).await;
    assert_eq!(answer.text(), [PARTS[1], PARTS[3]].concat());
}

proptest! {
    /// Whatever the events, the line ends and the chunks, the client gets what stands between.
    #[test]
    fn the_rest_is_byte_for_byte(
        parts in prop::collection::vec(0..7_usize, 0..8),
        crlf in any::<bool>(),
        size in 1..90_usize,
        cut in 0..400_usize,
    ) {
        let other = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":null}\n\n";
        let both = "data: {\"choices\":[{\"delta\":{\"content\":\"y\"}}],\"usage\":{\"completion_tokens\":3}}\n\n";
        let texts = [PARTS[0], PARTS[1], PARTS[2], USAGE, other, both, ": ping\n\n"];
        let texts = texts.map(|text| if crlf { text.replace('\n', "\r\n") } else { text.to_owned() });
        let whole: String = parts.iter().map(|part| &*texts[*part]).collect();
        let without: String = parts.iter().filter(|part| **part != 3).map(|part| &*texts[*part]).collect();
        paused::runtime().block_on(async {
            let policy = retries(0).on_interruption(tower_model_route::OnInterruption::Pass);
            let heard = Heard::default();
            let rig = heard.rig(table(
                [server(1, policy).force_usage(true)],
                Rule::new("rule").target("server"),
            ));
            let body = r#"{"model":"asked","stream":true}"#;
            rig.engines.next([stream(&whole, size)]);
            let (_, got, end) = one(&rig, &heard, "/v1/chat/completions", body).await;
            assert_eq!(std::str::from_utf8(&got).unwrap(), without);
            assert_eq!(end.bytes, whole.len() as u64, "what the engine has sent");
            // One that ends anywhere.
            let cut = cut.min(whole.len());
            rig.engines.next([stream(&whole[..cut], size)]);
            let (_, got, _) = one(&rig, &heard, "/v1/chat/completions", body).await;
            let got = std::str::from_utf8(&got).unwrap();
            assert!(whole[..cut].len() >= got.len());
            if !whole[..cut].contains("\"choices\":[],\"usage\"") {
                assert_eq!(got, &whole[..cut]);
            }
        });
    }
}
