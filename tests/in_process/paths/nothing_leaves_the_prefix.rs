//! Dot segments are refused: an engine would resolve them, out of its endpoint's prefix. So are empty
//! segments, which some servers leave out.

use http::StatusCode;
use proptest::prelude::*;
use test_kit::{
    answer::Answer,
    gateway::Rig,
    paused,
    request::{ASKED, post},
    table::table,
};
use tower_model_route::{
    ApiPaths, ModelMatch, ModelRoute, ModelRouteLayer, ModelServer, RouteError, RouteTable, Rule,
    StringMatch,
};

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
        assert_eq!(
            refused(path).await,
            "the request's path has a dot segment",
            "{path}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn so_is_an_empty_segment() {
    for path in [
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/chat//completions",
        "/v1/chat/completions//",
        "//tenant-b/v1/chat/completions",
        "/openai/deployments//chat/completions",
        "/v1/models//asked:predict",
        "http://gateway.test//v1/chat/completions",
    ] {
        let why = refused_by(path, ModelRouteLayer::new).await;
        assert_eq!(why, "the request's path has an empty segment", "{path}");
    }
    // Who lets everything pass says so.
    for path in ["//v1/chat/completions", "/v1/chat//completions"] {
        let rig = Rig::with(prefixed(), any);
        assert_eq!(rig.send(post(path, ASKED)).await.status(), 200, "{path}");
    }
}

/// One slash at the end, and the slashes in a name.
#[tokio::test(start_paused = true)]
async fn what_is_no_empty_segment_passes() {
    for path in [
        "/v1/chat/completions/",
        "/v1/chat/completions?url=http://x//y",
        "/openai/deployments/asked/chat/completions",
        "/model/asked/invoke",
    ] {
        let rig = Rig::new(prefixed());
        assert_eq!(rig.send(post(path, ASKED)).await.status(), 200, "{path}");
        let sent = rig.engines.attempts().remove(0).head.uri.to_string();
        assert_eq!(sent, format!("http://e0/tenant-a{path}"));
    }
    let named = table(
        [ModelServer::new("server").endpoint("http://e0/tenant-a")],
        Rule::new("rule").target("server"),
    );
    let config = named.config().clone();
    let url = ModelRoute::new("url").model_name("s3://bucket/m");
    let url = url.rule(Rule::new("url").target("server"));
    let rig = Rig::new(config.model_route(url).build().unwrap());
    let path = "/model/s3%3A%2F%2Fbucket%2Fm/invoke";
    assert_eq!(rig.send(post(path, "{}")).await.status(), 200);
    let sent = rig.engines.attempts().remove(0).head.uri.to_string();
    assert_eq!(sent, format!("http://e0/tenant-a{path}"));
}

#[test]
fn a_rule_for_exactly_such_a_path_is_a_mistake() {
    for (path, what) in [
        ("/v1//completions", "an empty segment"),
        ("/v1/../completions", "a dot segment"),
    ] {
        let rule = Rule::new("rule").when(ModelMatch::new().uri(StringMatch::exact(path)));
        let error = RouteTable::builder()
            .model_server(ModelServer::new("s").endpoint("http://e0"))
            .model_route(ModelRoute::new("r").model_name("m").rule(rule.target("s")))
            .build()
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("no request may have {what}")),
            "{error}"
        );
    }
}

/// What this is refused with, whatever paths pass; no engine is asked.
async fn refused(path: &str) -> String {
    let mut messages = Vec::new();
    for layer in [ModelRouteLayer::new, any] {
        messages.push(refused_by(path, layer).await);
    }
    messages.dedup();
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages.remove(0)
}

fn any(table: RouteTable) -> ModelRouteLayer {
    ModelRouteLayer::new(table).paths(ApiPaths::any())
}

async fn refused_by(path: &str, layer: fn(RouteTable) -> ModelRouteLayer) -> String {
    let rig = Rig::with(prefixed(), layer);
    let answer = Answer::of(rig.send(post(path, ASKED)).await).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}");
    assert_eq!(answer.code(), "invalid_target");
    assert!(rig.engines.attempts().is_empty());
    let error: &RouteError = answer.head.extensions.get().unwrap();
    error.message().to_owned()
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
        paused::runtime().block_on(async {
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
