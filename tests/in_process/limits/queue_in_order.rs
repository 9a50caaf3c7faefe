//! Waiting for an endpoint to become free.

use std::time::Duration;

use test_kit::{
    answer::Answer,
    body::{Script, script},
    engines::{Act, answers, fails, status},
    gateway::Rig,
    paused::settle,
    table::{one_server, single, table},
};
use tokio::{task::JoinHandle, time::Instant};
use tower_model_route::{Rule, TrafficPolicy};

use crate::SECOND;

fn queue(max: usize) -> TrafficPolicy {
    TrafficPolicy::new()
        .max_in_flight(1)
        .max_queue(max)
        .queue_timeout(10 * SECOND)
}

/// Takes the slots of so many engines; each script ends one of them.
async fn occupied(rig: &Rig, slots: usize) -> Vec<(Script, JoinHandle<Answer>)> {
    let mut held = Vec::new();
    for _ in 0..slots {
        let (body, scripted) = script();
        rig.engines.next([answers(200, scripted)]);
        held.push((body, rig.spawn()));
        settle().await;
    }
    assert_eq!(rig.engines.attempts().len(), slots);
    held
}

#[tokio::test(start_paused = true)]
async fn they_are_served_in_the_order_in_which_they_came() {
    let rig = Rig::one(1, queue(5));
    let (first, answer) = occupied(&rig, 1).await.remove(0);
    let mut scripts = Vec::new();
    let mut calls = Vec::new();
    for _ in 0..5 {
        let (body, scripted) = script();
        rig.engines.next([answers(200, scripted)]);
        scripts.push(body);
        calls.push(rig.spawn());
        settle().await;
    }
    assert_eq!(
        rig.engines.attempts().len(),
        0,
        "nothing is sent while they wait"
    );
    assert_eq!(rig.in_flight(), 1);
    // One more than may wait.
    assert_eq!(rig.ask().await.code(), "overloaded");

    first.data("first").end();
    assert_eq!(answer.await.unwrap().text(), "first");
    for (n, (body, call)) in scripts.into_iter().zip(calls).enumerate() {
        settle().await;
        assert_eq!(rig.engines.attempts().len(), 1, "one slot, one request");
        body.data(n.to_string()).end();
        assert_eq!(call.await.unwrap().text(), n.to_string());
    }
    assert_eq!(rig.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_later_does_not_get_in_before_them() {
    let rig = Rig::one(1, queue(5));
    let (body, held) = occupied(&rig, 1).await.remove(0);
    let waiting = rig.spawn();
    settle().await;
    rig.engines.next([status(201), status(202)]);
    // The later one is there before the first has been woken.
    body.end();
    let answer = rig.spawn();
    assert_eq!(waiting.await.unwrap().status(), 201);
    assert_eq!(answer.await.unwrap().status(), 202);
    held.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_too_long_is_shed() {
    let rig = Rig::one(1, queue(5));
    let held = occupied(&rig, 1).await;
    let start = Instant::now();
    let answer = rig.ask().await;
    assert_eq!(
        (answer.status().as_u16(), &*answer.code()),
        (503, "overloaded")
    );
    assert!(answer.header("retry-after").is_some());
    assert_eq!(start.elapsed().as_secs(), 10);
    // Its place is free again.
    let calls: Vec<_> = (0..5).map(|_| rig.spawn()).collect();
    settle().await;
    assert!(calls.iter().all(|call| !call.is_finished()));
    held[0].0.end();
    for call in calls {
        assert_eq!(call.await.unwrap().status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_by_default() {
    let rig = Rig::one(1, TrafficPolicy::new().max_in_flight(1).max_queue(1));
    let _held = occupied(&rig, 1).await;
    let start = Instant::now();
    assert_eq!(rig.ask().await.code(), "overloaded");
    assert_eq!(start.elapsed().as_millis() / 10, 100);
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_gives_up_the_place_and_what_was_meant_for_it() {
    for leaver in 0..3 {
        let rig = Rig::one(1, queue(3));
        let (body, held) = occupied(&rig, 1).await.remove(0);
        let mut calls: Vec<_> = Vec::new();
        for _ in 0..3 {
            calls.push(rig.spawn());
            settle().await;
        }
        // It leaves before the slot is free, or after it was woken.
        let leaving = calls.remove(leaver);
        if leaver == 0 {
            body.end();
            held.await.unwrap();
            leaving.abort();
        } else {
            leaving.abort();
            body.end();
            held.await.unwrap();
        }
        for call in calls {
            assert_eq!(call.await.unwrap().status(), 200);
        }
        assert_eq!(rig.in_flight(), 0);
        rig.engines.attempts();
        // All three places are there again.
        let held = occupied(&rig, 1).await;
        let calls: Vec<_> = (0..3).map(|_| rig.spawn()).collect();
        settle().await;
        assert_eq!(rig.ask().await.code(), "overloaded");
        held[0].0.end();
        for call in calls {
            assert_eq!(call.await.unwrap().status(), 200);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_slots_at_once_serve_two() {
    let rig = Rig::one(2, queue(4));
    let held = occupied(&rig, 2).await;
    rig.engines.everywhere(|| Act::Hang);
    let calls: Vec<_> = (0..4).map(|_| rig.spawn()).collect();
    settle().await;
    for (body, _) in &held {
        body.end();
    }
    settle().await;
    assert_eq!(rig.engines.attempts().len(), 2);
    assert_eq!(
        (
            rig.endpoint("e0").in_flight(),
            rig.endpoint("e1").in_flight()
        ),
        (1, 1)
    );
    for call in calls {
        call.abort();
        _ = call.await;
    }
    assert_eq!(rig.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_is_free_comes_before_waiting() {
    let rule = Rule::new("rule").target("a").fallback("b");
    let rig = Rig::new(table([single("a", queue(5)), single("b", queue(5))], rule));
    let held = occupied(&rig, 1).await;
    assert_eq!(rig.ask().await.decision().endpoint(), "http://b");
    rig.engines.attempts();
    // Where both are full, it waits for the target.
    rig.engines.at("b", [Act::Hang]);
    let hanging = rig.spawn();
    settle().await;
    let waiting = rig.spawn();
    settle().await;
    held[0].0.end();
    assert_eq!(waiting.await.unwrap().decision().endpoint(), "http://a");
    hanging.abort();
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_a_failure_leaves_is_a_slot() {
    let rig = Rig::one(1, queue(1));
    rig.engines.next([fails().late(SECOND)]);
    let failing = rig.spawn();
    settle().await;
    let waiting = rig.spawn();
    assert_eq!(failing.await.unwrap().status(), 502);
    assert_eq!(waiting.await.unwrap().status(), 200);
}

/// Where many threads are at it, no wake-up is lost and nobody is forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_forgotten_under_load() {
    let policy = TrafficPolicy::new().max_in_flight(2).max_queue(1000);
    let rig = Rig::new(one_server(3, policy.queue_timeout(Duration::from_secs(20))));
    rig.engines.everywhere(|| status(200));
    let calls: Vec<_> = (0..500).map(|_| rig.spawn()).collect();
    for (n, call) in calls.into_iter().enumerate() {
        if n % 7 == 0 {
            call.abort();
        } else {
            assert_eq!(call.await.unwrap().status(), 200);
        }
    }
    while rig.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
}
