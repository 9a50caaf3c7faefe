//! When a fallback gets a request, and a target of weight 0.

use test_kit::{
    engines::{fails, status},
    gateway::Rig,
    table::{retries, single, table},
};
use tower_model_route::{
    EndpointHealth, ModelServer, OutlierDetection, Rule, TargetModel, TrafficPolicy,
};

use crate::SECOND;

fn detection() -> OutlierDetection {
    OutlierDetection::new()
        .consecutive_failures(1)
        .max_ejection_percent(100)
}

#[tokio::test(start_paused = true)]
async fn only_when_the_targets_are_unusable() {
    let rule = Rule::new("rule")
        .target("a")
        .target("b")
        .fallback("c")
        .fallback("d");
    let policy = || TrafficPolicy::new().outlier_detection(detection());
    let rig = Rig::new(table(
        ["a", "b", "c", "d"].map(|name| single(name, policy())),
        rule,
    ));
    for _ in 0..20 {
        assert!(!rig.ask().await.decision().is_fallback());
    }
    for host in ["a", "b", "c"] {
        rig.engines.at(host, [fails()]);
        rig.eject(host).await;
        let expected = match host {
            "a" => "http://b",
            "b" => "http://c",
            _ => "http://d",
        };
        for _ in 0..5 {
            assert_eq!(rig.ask().await.decision().endpoint(), expected);
        }
    }
    // The targets are back: their trials succeed.
    tokio::time::sleep(20 * SECOND).await;
    for _ in 0..10 {
        assert!(!rig.ask().await.decision().is_fallback());
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_without_endpoints_has_its_fallback() {
    let rule = Rule::new("rule")
        .target("none")
        .fallback("also-none")
        .fallback("c");
    let servers = [
        ModelServer::new("none"),
        ModelServer::new("also-none"),
        single("c", retries(0)),
    ];
    let rig = Rig::new(table(servers, rule));
    let answer = rig.ask().await;
    assert_eq!(answer.decision().model_server(), "c");
    assert!(answer.decision().is_fallback());
    assert_eq!(answer.decision().attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_least_bad_target_comes_before_nothing_and_after_the_fallbacks() {
    let rule = Rule::new("rule").target("a").fallback("b");
    let policy = || TrafficPolicy::new().outlier_detection(detection());
    let rig = Rig::new(table([single("a", policy()), single("b", policy())], rule));
    rig.engines.at("a", [fails()]);
    rig.ask().await;
    assert_eq!(rig.ask().await.decision().model_server(), "b");
    rig.engines.at("b", [fails()]);
    rig.ask().await;
    assert_eq!(rig.endpoint("b").health(), EndpointHealth::Ejected);
    let answer = rig.ask().await;
    assert_eq!(
        (answer.status().as_u16(), answer.decision().model_server()),
        (200, "a")
    );
}

#[tokio::test(start_paused = true)]
async fn a_target_of_weight_0_comes_before_the_fallbacks() {
    let rule = Rule::new("rule")
        .target(TargetModel::new("zero").weight(0))
        .target(TargetModel::new("all").weight(1))
        .fallback("fallback");
    let policy = || retries(1).outlier_detection(detection());
    let rig = Rig::new(table(
        ["zero", "all", "fallback"].map(|name| single(name, policy())),
        rule,
    ));
    for _ in 0..10 {
        assert_eq!(rig.ask().await.decision().model_server(), "all");
    }
    rig.engines.at("all", [status(503)]);
    let answer = rig.ask().await;
    assert_eq!(
        (
            answer.decision().model_server(),
            answer.decision().attempts()
        ),
        ("zero", 2)
    );
    // And it has the first attempt, now that the other is ejected.
    let answer = rig.ask().await;
    assert_eq!(
        (
            answer.decision().model_server(),
            answer.decision().attempts()
        ),
        ("zero", 1)
    );
}
