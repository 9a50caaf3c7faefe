//! The split stays exact while a target is out and after it is back.

use std::collections::HashMap;

use test_kit::{
    engines::{Act, fails, status},
    gateway::Rig,
    paused::settle,
    table::{retries, single, table},
};
use tower_model_route::{OutlierDetection, Rule, TargetModel, TrafficPolicy};

use crate::SECOND;

/// 50 : 30 : 20 over `a`, `b` and `c`, each with one endpoint.
fn rig() -> Rig {
    let detection = OutlierDetection::new()
        .consecutive_failures(1)
        .max_ejection_percent(100);
    let policy = || TrafficPolicy::new().outlier_detection(detection);
    let rule = [("a", 50), ("b", 30), ("c", 20)]
        .into_iter()
        .fold(Rule::new("rule"), |rule, (name, weight)| {
            rule.target(TargetModel::new(name).weight(weight))
        });
    Rig::new(table(
        ["a", "b", "c"].map(|name| single(name, policy())),
        rule,
    ))
}

async fn shares(rig: &Rig, requests: usize) -> [usize; 3] {
    for _ in 0..requests {
        assert_eq!(rig.ask().await.status(), 200);
    }
    let mut counts = HashMap::<String, usize>::new();
    for host in rig.engines.hosts() {
        *counts.entry(host).or_default() += 1;
    }
    ["a", "b", "c"].map(|host| counts.get(host).copied().unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn before_during_and_after_an_ejection() {
    for (host, without) in [("a", [0, 60, 40]), ("b", [50, 0, 20]), ("c", [50, 30, 0])] {
        let rig = rig();
        assert_eq!(shares(&rig, 100).await, [50, 30, 20]);
        rig.engines.at(host, [fails()]);
        rig.eject(host).await;
        rig.engines.attempts();
        let cycle = without.iter().sum();
        for _ in 0..3 {
            assert_eq!(shares(&rig, cycle).await, without, "without {host}");
        }
        tokio::time::sleep(10 * SECOND).await;
        for _ in 0..3 {
            assert_eq!(shares(&rig, 100).await, [50, 30, 20], "with {host} back");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_siblings_of_one_on_trial_keep_their_ratio() {
    let rig = rig();
    rig.engines.at("a", [fails(), Act::Hang]);
    rig.eject("a").await;
    tokio::time::sleep(10 * SECOND).await;
    let mut calls = Vec::new();
    while rig.endpoint("a").in_flight() == 0 {
        calls.push(rig.spawn());
        settle().await;
    }
    rig.engines.attempts();
    assert_eq!(shares(&rig, 100).await, [0, 60, 40]);
    calls.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn retries_take_no_turn() {
    let rule = Rule::new("rule")
        .target(TargetModel::new("a").weight(70))
        .target(TargetModel::new("b").weight(30));
    let rig = Rig::new(table(["a", "b"].map(|name| single(name, retries(1))), rule));
    for run in 0..5 {
        let mut first = HashMap::<String, usize>::new();
        for n in 0..100 {
            if n % 10 == run {
                rig.engines.next([status(503)]);
            }
            rig.ask().await;
            *first.entry(rig.engines.hosts().remove(0)).or_default() += 1;
        }
        assert_eq!((first["a"], first["b"]), (70, 30));
    }
}
