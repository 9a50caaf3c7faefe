//! Engines are asked for their load at most once a second each, and only where it is of use.

use std::time::Duration;

use http::Request;
use http_body_util::Full;
use test_kit::{
    engines::{says, status},
    gateway::Rig,
    request::{asked, post},
    table::{self, retries},
};
use tokio::time::advance;
use tower_model_route::{Balance, HashKey, Rule, TrafficPolicy};

use super::{FORMAT, rig, table_of};
use crate::SECOND;

/// How many of the attempts since this was asked last have asked.
fn asking(rig: &Rig) -> usize {
    let attempts = rig.engines.attempts();
    let formats = attempts.iter().filter_map(|attempt| attempt.header(FORMAT));
    formats
        .inspect(|format| assert_eq!(*format, "TEXT"))
        .count()
}

#[tokio::test(start_paused = true)]
async fn each_endpoint_once_a_second() {
    let rig = rig(2, Balance::LeastRequest);
    for _ in 0..3 {
        for _ in 0..10 {
            rig.ask().await;
        }
        assert_eq!(asking(&rig), 2);
        advance(SECOND - Duration::from_millis(1)).await;
        rig.ask().await;
        rig.ask().await;
        assert_eq!(asking(&rig), 0);
        advance(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn wherever_the_load_is_compared_and_nowhere_else() {
    for (balance, expected) in [
        (Balance::LeastRequest, 2),
        (Balance::ConsistentHash(HashKey::User.into()), 2),
        (Balance::PrefixHash(64.into()), 2),
        (Balance::RoundRobin, 0),
        (Balance::Random, 0),
        (Balance::PeakEwma, 0),
    ] {
        let rig = rig(2, balance.clone());
        for _ in 0..50 {
            rig.ask().await;
        }
        assert_eq!(asking(&rig), expected, "{balance:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_engine_that_is_alone_and_none_unless_it_is_on() {
    let alone = rig(1, Balance::LeastRequest);
    alone.ask().await;
    assert_eq!(asking(&alone), 0);
    let off = Rig::one(2, TrafficPolicy::new());
    off.ask().await;
    assert_eq!(asking(&off), 0);
}

#[tokio::test(start_paused = true)]
async fn only_in_requests_in_which_engines_answer_it() {
    let with = |path: &str, body: &str| post(path, body.to_owned());
    let plain = r#"{"model":"asked","stream":false}"#;
    for (request, expected) in [
        (with("/v1/chat/completions", plain), 1),
        (with("/v1/completions", plain), 1),
        (with("/v1/completions", r#"{"model":"asked"}"#), 1),
        (
            with("/v1/completions", r#"{"model":"asked","stream":true}"#),
            0,
        ),
        (
            with("/v1/chat/completions", r#"{"stream":true,"model":"asked"}"#),
            0,
        ),
        (with("/v1/embeddings", plain), 0),
        (with("/v1/responses", plain), 0),
        (with("/v1/messages", plain), 0),
    ] {
        let rig = rig(2, Balance::LeastRequest);
        let uri = request.uri().clone();
        rig.send(request).await;
        assert_eq!(asking(&rig), expected, "{uri}");
    }
}

/// What a stream has not asked, the next plain request asks.
#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_ask_takes_no_turn() {
    let rig = rig(2, Balance::LeastRequest);
    for _ in 0..4 {
        rig.send(post(
            "/v1/completions",
            r#"{"model":"asked","stream":true}"#,
        ))
        .await;
    }
    rig.ask().await;
    rig.ask().await;
    assert_eq!(asking(&rig), 2);
}

/// Its own field reaches every attempt as it is.
#[tokio::test(start_paused = true)]
async fn a_client_that_asks_for_itself_is_not_asked_for() {
    let rig = rig(2, Balance::LeastRequest);
    let mut request: Request<Full<_>> = asked();
    request
        .headers_mut()
        .insert(FORMAT, "JSON".parse().unwrap());
    rig.send(request).await;
    assert_eq!(rig.engines.attempts()[0].header(FORMAT), Some("JSON"));
    rig.ask().await;
    rig.ask().await;
    assert_eq!(asking(&rig), 2);
}

#[tokio::test(start_paused = true)]
async fn a_retry_does_not_ask() {
    let server = table::server(3, retries(2)).load_reports(true);
    let rig = Rig::new(table::table([server], Rule::new("rule").target("server")));
    rig.engines
        .next([status(503), status(503), says(200, "ok")]);
    assert_eq!(rig.ask().await.text(), "ok");
    let attempts = rig.engines.attempts();
    let formats: Vec<_> = attempts
        .iter()
        .map(|attempt| attempt.header(FORMAT))
        .collect();
    assert_eq!(formats, [Some("TEXT"), None, None]);
}

/// What the table had asked still counts in the next one.
#[tokio::test(start_paused = true)]
async fn a_reload_is_no_reason_to_ask_again() {
    let handle = tower_model_route::RouteTableHandle::new(table_of(2, Balance::LeastRequest));
    let engines = test_kit::engines::Engines::default();
    let layer = tower_model_route::ModelRouteLayer::new(handle.clone());
    let gateway =
        test_kit::gateway::Gateway::new(tower_model_route::stack(layer).service(engines.service()));
    let mut counts = Vec::new();
    for _ in 0..2 {
        for _ in 0..2 {
            let Ok(_) = tower::ServiceExt::oneshot(gateway.clone(), asked()).await;
        }
        let attempts = engines.attempts();
        counts.push(
            attempts
                .iter()
                .filter(|attempt| attempt.header(FORMAT).is_some())
                .count(),
        );
        handle.replace(table_of(2, Balance::LeastRequest));
    }
    assert_eq!(counts, [2, 0]);
}
