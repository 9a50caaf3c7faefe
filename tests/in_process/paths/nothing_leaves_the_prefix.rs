//! Dot segments are refused: an engine would resolve them, out of its endpoint's prefix.

use http::StatusCode;
use proptest::prelude::*;
use test_kit::{
    gateway::Rig,
    request::{ASKED, post},
    table::table,
};
use tower_model_route::{ApiPaths, ModelRouteLayer, ModelServer, RouteTable, Rule};

fn prefixed() -> RouteTable {
    table(
        [ModelServer::new("server").endpoint("http://e0/tenant-a")],
        Rule::new("rule").target("server"),
    )
}

#[tokio::test(start_paused = true)]
async fn a_dot_segment_is_a_400_in_any_spelling() {
    for path in [
        "/../tenant-b/v1/chat/completions",
        "/%2e%2e/tenant-b/v1/chat/completions",
        "/.%2E/tenant-b/v1/chat/completions",
        "/%252e%252e/tenant-b/v1/chat/completions",
        "/x%2f..%2f../tenant-b/v1/chat/completions",
        "/..;a/tenant-b/v1/chat/completions",
        "/x%5c..%5c../v1/chat/completions",
        "/./v1/chat/completions",
        "/v1/chat/completions/..",
        "/openai/deployments/%2e%2e/chat/completions",
    ] {
        for any in [false, true] {
            let rig = Rig::with(prefixed(), |table| match any {
                true => ModelRouteLayer::new(table).paths(ApiPaths::any()),
                false => ModelRouteLayer::new(table),
            });
            let answer = rig.send(post(path, ASKED)).await;
            let answer = test_kit::answer::Answer::of(answer).await;
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}");
            assert_eq!(answer.json()["error"]["code"], "invalid_target");
            assert!(rig.engines.attempts().is_empty());
        }
    }
}

/// Resolves escapes and dot segments as the most zealous of servers would.
fn resolved(path: &str) -> Option<Vec<String>> {
    let mut path = path.to_owned();
    for _ in 0..2 {
        path = percent_decoded(&path);
    }
    let mut segments = Vec::new();
    for segment in path.replace('\\', "/").split('/').skip(1) {
        match segment.split(';').next().unwrap_or_default() {
            "." => {}
            ".." => _ = segments.pop()?,
            _ => segments.push(segment.to_owned()),
        }
    }
    Some(segments)
}

fn percent_decoded(text: &str) -> String {
    let mut rest = text.as_bytes();
    let mut out = Vec::new();
    while let [byte, after @ ..] = rest {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let decoded = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match decoded.filter(|_| *byte == b'%') {
            Some(decoded) => {
                out.push(decoded);
                rest = &after[2..];
            }
            None => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

proptest! {
    #[test]
    fn whatever_is_sent_stays_below_the_prefix(
        parts in prop::collection::vec(
            prop::sample::select(&["/", ".", "..", "%2e", "%2F", "%252e", "%5c", ";", "v1", "a", "%25", "2e"][..]),
            0..10,
        ),
    ) {
        let path = format!("/{}", parts.concat());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let rig = Rig::with(prefixed(), |table| {
                ModelRouteLayer::new(table).paths(ApiPaths::any())
            });
            rig.send(post(&path, ASKED)).await;
            for attempt in rig.engines.attempts() {
                let segments = resolved(attempt.head.uri.path());
                let first = segments.and_then(|segments| segments.first().cloned());
                assert_eq!(first.as_deref(), Some("tenant-a"), "{path}");
            }
        });
    }
}
