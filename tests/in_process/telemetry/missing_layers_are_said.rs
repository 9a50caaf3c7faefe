//! An option of the policy that no layer enforces is said once, and not where it is enforced.

use std::time::Duration;

use test_kit::{
    engines::{Engines, status},
    gateway::{Gateway, Rig},
    request::asked,
    table::{one_server, retries},
};
use tower::{ServiceBuilder, ServiceExt};
use tower_model_route::{
    AnswerErrorsLayer, AttemptTimeoutLayer, Failover, FailoverLayer, ModelRouteLayer, RouteTable,
    TrafficPolicy,
};
use tracing::Level;

use super::collect::{Seen, collecting};

fn timeout() -> TrafficPolicy {
    TrafficPolicy::new().timeout(Duration::from_secs(5))
}

fn bare(engines: &Engines, table: RouteTable) -> Gateway {
    let layer = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table))
        .layer(AnswerErrorsLayer::new());
    Gateway::over(engines, layer)
}

async fn ask(gateway: &Gateway, times: usize) {
    for _ in 0..times {
        let Ok(_) = gateway.clone().oneshot(asked()).await;
    }
}

fn warnings(seen: &Seen) -> Vec<String> {
    let events = seen.events().into_iter();
    let warnings = events.filter(|event| event.level == Level::WARN);
    warnings
        .filter_map(|event| Some(event.fields.get("message")?.to_owned()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn without_the_layers_each_option_is_said_once() {
    for (policy, expected) in [
        (
            timeout(),
            "`timeout` has no effect without an AttemptTimeoutLayer",
        ),
        (
            retries(2),
            "`max_retries` has no effect without a FailoverLayer",
        ),
    ] {
        let (seen, _guard) = collecting();
        let engines = Engines::default();
        engines.next([status(503)]);
        ask(&bare(&engines, one_server(2, policy)), 3).await;
        let warnings = warnings(&seen);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with(expected), "{warnings:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_they_are_enforced_nothing_is_said() {
    let (seen, _guard) = collecting();
    let rig = Rig::one(2, retries(2).timeout(Duration::from_secs(5)));
    rig.engines.next([status(503)]);
    ask(&rig.gateway, 3).await;

    let engines = Engines::default();
    let by_hand = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(one_server(
            2,
            retries(2).timeout(Duration::from_secs(5)),
        )))
        .layer(AnswerErrorsLayer::new());
    let layered = by_hand.clone().layer(FailoverLayer::new());
    ask(
        &Gateway::over(&engines, layered.layer(AttemptTimeoutLayer::new())),
        1,
    )
    .await;
    let retried = by_hand.retry(Failover::new());
    ask(
        &Gateway::over(&engines, retried.layer(AttemptTimeoutLayer::new())),
        1,
    )
    .await;

    ask(&bare(&engines, one_server(2, TrafficPolicy::new())), 1).await;
    assert_eq!(warnings(&seen), [""; 0]);
}
