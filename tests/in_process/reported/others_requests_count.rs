//! What an engine reports is added to the gateway's own load: what others have sent it.

use std::time::Duration;

use test_kit::{engines::says, gateway::Rig, paused::settle, request::asked};
use tokio::time::advance;
use tower_model_route::{Balance, HashKey};

use super::{reports, rig};
use crate::SECOND;

/// How many of so many requests that stay go to each of the two.
async fn held(rig: &Rig, requests: usize) -> [usize; 2] {
    let gate = rig.engines.hold();
    let before = ["e0", "e1"].map(|host| rig.endpoint(host).requests());
    let all: Vec<_> = (0..requests).map(|_| rig.spawn()).collect();
    settle().await;
    let after = ["e0", "e1"].map(|host| rig.endpoint(host).requests());
    gate.add_permits(requests);
    for request in all {
        request.await.unwrap();
    }
    [0, 1].map(|i| (after[i] - before[i]) as usize)
}

/// One answer by each, of which e0's says that so many wait there.
async fn reported(rig: &Rig, waiting: u32, kv_cache: f64) {
    rig.engines
        .at("e0", [reports(says(200, "ok"), waiting, kv_cache)]);
    rig.engines.at("e1", [reports(says(200, "ok"), 0, 0.1)]);
    rig.ask().await;
    rig.ask().await;
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn where_others_wait_fewer_go() {
    let rig = rig(2, Balance::LeastRequest);
    reported(&rig, 6, 0.1).await;
    assert_eq!(held(&rig, 10).await, [2, 8]);
}

#[tokio::test(start_paused = true)]
async fn for_two_seconds() {
    let rig = rig(2, Balance::LeastRequest);
    reported(&rig, 6, 0.1).await;
    advance(2 * SECOND).await;
    assert_eq!(held(&rig, 10).await, [2, 8]);
    advance(Duration::from_millis(1)).await;
    assert_eq!(held(&rig, 10).await, [5, 5]);
    let reported = rig.endpoint("e0").reported().to_vec();
    assert!(!reported[0].is_fresh() && reported[0].age() > 2 * SECOND);
}

/// The gateway's own are no others': those that wait are among them.
#[tokio::test(start_paused = true)]
async fn its_own_do_not_count_twice() {
    let rig = rig(2, Balance::LeastRequest);
    let gate = rig.engines.hold();
    rig.engines.at("e0", [reports(says(200, "ok"), 3, 0.1)]);
    let first: Vec<_> = (0..8).map(|_| rig.spawn()).collect();
    settle().await;
    gate.add_permits(2);
    settle().await;
    let in_flight = ["e0", "e1"].map(|host| rig.endpoint(host).in_flight());
    assert_eq!(in_flight, [3, 3]);
    assert_eq!(held_on(&rig, 8).await, [4, 4]);
    drop(first);
}

/// As [`held`], beside those that are there.
async fn held_on(rig: &Rig, requests: usize) -> [usize; 2] {
    let before = ["e0", "e1"].map(|host| rig.endpoint(host).requests());
    let _all: Vec<_> = (0..requests).map(|_| rig.start(asked())).collect();
    settle().await;
    let after = ["e0", "e1"].map(|host| rig.endpoint(host).requests());
    [0, 1].map(|i| (after[i] - before[i]) as usize)
}

#[tokio::test(start_paused = true)]
async fn a_full_cache_counts_what_waits_twice() {
    let rig = rig(2, Balance::LeastRequest);
    reported(&rig, 4, 0.97).await;
    assert_eq!(held(&rig, 10).await, [1, 9]);
}

/// Load that is everywhere moves no key.
#[tokio::test(start_paused = true)]
async fn affinity_holds_where_all_are_equally_loaded_by_others() {
    let rig = rig(
        2,
        Balance::ConsistentHash(HashKey::Header("x-user".into()).into()),
    );
    let of_user = || {
        let mut request = asked();
        request.headers_mut().insert("x-user", "u".parse().unwrap());
        request
    };
    for host in ["e0", "e1"] {
        let report = |_| reports(says(200, "ok"), 50, 0.1);
        rig.engines.at(host, (0..3).map(report));
    }
    rig.ask().await;
    rig.ask().await;
    rig.engines.attempts();
    for _ in 0..10 {
        rig.send(of_user()).await;
    }
    let mut hosts = rig.engines.hosts();
    hosts.dedup();
    assert_eq!(hosts.len(), 1);
}
