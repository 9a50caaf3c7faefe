//! An endpoint in bad standing never serves in place of a healthy one that is full.

use test_kit::{
    engines::{Act, fails, status},
    gateway::Rig,
    paused::settle,
};
use tower_model_route::{OutlierDetection, TrafficPolicy};

use crate::SECOND;

fn policy() -> TrafficPolicy {
    let detection = OutlierDetection::new()
        .consecutive_failures(1)
        .base_ejection_time(1000 * SECOND)
        .max_ejection_time(1000 * SECOND);
    TrafficPolicy::new()
        .max_in_flight(1)
        .max_queue(5)
        .queue_timeout(10 * SECOND)
        .outlier_detection(detection)
}

#[tokio::test(start_paused = true)]
async fn an_ejected_one_is_left_alone_while_one_queues() {
    let rig = Rig::one(2, policy());
    rig.engines.always("e0", || status(502));
    rig.eject("e0").await;
    rig.engines.attempts();
    rig.engines.at("e1", [status(200).late(SECOND)]);
    let busy = rig.spawn();
    settle().await;
    let answer = rig.ask().await;
    assert_eq!(busy.await.unwrap().status(), 200);
    assert_eq!(rig.engines.hosts(), ["e1", "e1"]);
    assert_eq!(answer.status(), 200, "{}", answer.text());
}

#[tokio::test(start_paused = true)]
async fn one_that_asked_for_a_pause_gets_it() {
    let rig = Rig::one(2, policy());
    rig.engines
        .at("e0", [status(429).header("retry-after", "30")]);
    while rig.ask().await.status() != 429 {}
    rig.engines.attempts();
    rig.engines.at("e1", [status(200).late(SECOND)]);
    let busy = rig.spawn();
    settle().await;
    assert_eq!(rig.ask().await.status(), 200);
    assert_eq!(busy.await.unwrap().status(), 200);
    assert_eq!(rig.engines.hosts(), ["e1", "e1"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_what_is_too_much_is_shed() {
    let rig = Rig::one(2, policy().max_queue(0));
    rig.engines.always("e0", || status(502));
    rig.eject("e0").await;
    rig.engines.at("e1", [Act::Hang]);
    let busy = rig.spawn();
    settle().await;
    let answer = rig.ask().await;
    busy.abort();
    assert_eq!(answer.code(), "overloaded");
    assert!(answer.header("retry-after").is_some());
}

/// It comes back by itself; nobody else's request ends meanwhile.
#[tokio::test(start_paused = true)]
async fn who_waits_sees_the_end_of_a_pause() {
    let rig = Rig::one(2, policy());
    rig.engines
        .at("e0", [status(429).header("retry-after", "3")]);
    while rig.ask().await.status() != 429 {}
    rig.engines.at("e1", [Act::Hang]);
    let busy = rig.spawn();
    settle().await;
    let start = tokio::time::Instant::now();
    let answer = rig.ask().await;
    busy.abort();
    assert_eq!(answer.decision().endpoint(), "http://e0");
    assert_eq!(start.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_retry_queues_as_a_first_attempt_does_and_holds_up_nobody() {
    let rig = Rig::one(2, policy().max_retries(1).retry_interval(SECOND / 1000));
    rig.engines.at("e1", [status(200).late(3 * SECOND)]);
    rig.engines
        .at("e0", [status(429).header("retry-after", "0")]);
    let both = [rig.spawn(), rig.spawn()];
    tokio::time::sleep(SECOND).await;
    // The retry waits for e1; e0 is free for others.
    let answer = rig.ask().await;
    assert_eq!(answer.decision().endpoint(), "http://e0");
    for call in both {
        assert_eq!(call.await.unwrap().status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_finds_the_next_endpoint_at_the_end_of_its_interval() {
    let policy = TrafficPolicy::new()
        .max_retries(1)
        .retry_interval(5 * SECOND)
        .max_retry_interval(5 * SECOND)
        .outlier_detection(OutlierDetection::new().consecutive_failures(1));
    let rig = Rig::one(3, policy);
    rig.engines.next([status(503)]);
    let call = rig.spawn();
    tokio::time::sleep(SECOND).await;
    let first = rig.engines.hosts().remove(0);
    let others: Vec<_> = ["e0", "e1", "e2"]
        .into_iter()
        .filter(|host| **host != first)
        .collect();
    // Meanwhile one of the others is ejected.
    rig.engines.always(others[0], fails);
    while rig.endpoint(others[0]).ejections() == 0 {
        rig.ask().await;
    }
    assert_eq!(
        call.await.unwrap().decision().endpoint(),
        format!("http://{}", others[1])
    );
}
