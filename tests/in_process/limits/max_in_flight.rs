//! How much an endpoint has at once, and what happens to the rest.

use http::StatusCode;
use test_kit::{
    answer::Answer,
    body::script,
    engines::{Act, answers, fails, status},
    gateway::Rig,
    paused::settle,
    table::{retries, single, table},
};
use tower_model_route::{ModelServer, Rule, TrafficPolicy};

use crate::SECOND;

fn at_most(n: usize) -> TrafficPolicy {
    TrafficPolicy::new().max_in_flight(n)
}

#[tokio::test(start_paused = true)]
async fn each_endpoint_has_no_more_than_it_may_and_the_rest_is_overload() {
    let rig = Rig::one(3, at_most(4));
    rig.engines.everywhere(|| status(200).late(SECOND));
    let calls: Vec<_> = (0..50).map(|_| rig.spawn()).collect();
    settle().await;
    for host in ["e0", "e1", "e2"] {
        assert_eq!(rig.endpoint(host).in_flight(), 4);
    }
    let mut served = 0;
    for call in calls {
        let answer = call.await.unwrap();
        if answer.status() == StatusCode::OK {
            served += 1;
            continue;
        }
        assert_eq!(
            (answer.status().as_u16(), &*answer.code()),
            (503, "overloaded")
        );
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!((served, rig.engines.attempts().len()), (12, 12));
    assert_eq!(rig.in_flight(), 0);
    assert_eq!(rig.ask().await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_taken_until_the_body_ends() {
    let rig = Rig::one(1, at_most(1));
    let (body, scripted) = script();
    rig.engines.next([answers(200, scripted)]);
    let answer = rig.answer().await;
    assert_eq!(rig.ask().await.code(), "overloaded");
    body.data("all").end();
    assert_eq!(Answer::of(answer).await.text(), "all");
    assert_eq!(rig.ask().await.status(), 200);

    // And given back by an answer that nobody reads.
    let (_body, scripted) = script();
    rig.engines.next([answers(200, scripted)]);
    drop(rig.answer().await);
    assert_eq!(rig.ask().await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn what_is_full_leaves_its_share_to_its_siblings_and_then_to_the_fallbacks() {
    let rule = Rule::new("rule").target("a").target("b").fallback("c");
    let servers = ["a", "b", "c"].map(|name| single(name, at_most(2)));
    let rig = Rig::new(table(servers, rule));
    rig.engines.everywhere(|| status(200).late(SECOND));
    let mut calls = Vec::new();
    for _ in 0..6 {
        calls.push(rig.spawn());
        settle().await;
    }
    let hosts = rig.engines.hosts();
    assert_eq!(hosts[4..], ["c", "c"]);
    assert_eq!(rig.ask().await.code(), "overloaded");
    for call in calls {
        assert_eq!(call.await.unwrap().status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_finds_no_room_in_what_is_full() {
    let policy = retries(2).max_in_flight(1);
    let rule = Rule::new("rule").target("server").fallback("other");
    let server = ModelServer::new("server")
        .endpoints(["http://e0", "http://e1"])
        .traffic_policy(policy);
    let rig = Rig::new(table([server, single("other", TrafficPolicy::new())], rule));
    rig.engines.at("e0", [Act::Hang]);
    rig.engines.at("e1", [fails().late(SECOND)]);
    let calls = [rig.spawn(), rig.spawn()];
    tokio::time::sleep(2 * SECOND).await;
    let hosts = rig.engines.hosts();
    assert_eq!(hosts.len(), 3);
    assert_eq!(hosts[2], "other");
    assert_eq!(rig.in_flight(), 1);
    for call in calls {
        call.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_leaves_the_slot_of_the_attempt_before() {
    let rig = Rig::one(2, retries(1).max_in_flight(1));
    rig.engines.next([status(503), Act::Hang]);
    let call = rig.spawn();
    settle().await;
    let first = rig.engines.hosts().remove(0);
    assert_eq!(rig.endpoint(&first).in_flight(), 0);
    assert_eq!(rig.in_flight(), 1);
    let answer = rig.ask().await;
    assert_eq!(answer.decision().endpoint(), format!("http://{first}"));
    call.abort();
    _ = call.await;
    assert_eq!(rig.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_endpoint_at_all_is_no_overload() {
    let rig = Rig::new(table(
        [ModelServer::new("server")],
        Rule::new("rule").target("server"),
    ));
    let answer = rig.ask().await;
    assert_eq!(
        (answer.status().as_u16(), &*answer.code()),
        (503, "no_endpoint")
    );
    assert!(answer.header("retry-after").is_some());
}
