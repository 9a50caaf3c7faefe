//! A connection that fails is no engine that fails.

use std::{
    collections::HashSet,
    io,
    sync::{
        Arc,
        atomic::{AtomicIsize, Ordering},
    },
};

use axum::body::Body;
use http::{Method, StatusCode};
use test_kit::{
    engines::{Act, fails, resets, status, times_out},
    gateway::Rig,
    request::{ASKED, asked, chat},
    table::{builder, failures, one_server, retries, server, table},
};
use tower::retry::budget::Budget;
use tower_model_route::{
    ConnectionFailure, ConnectionFailureKind, EndpointHealth, FreshConnection, ModelRouteLayer,
    ModelServer, OutlierDetection, Rule, TrafficPolicy,
};

use crate::SECOND;

/// The connection fails, and the client says how.
fn connection(kind: ConnectionFailureKind) -> Act {
    let lost = io::Error::from(io::ErrorKind::ConnectionReset);
    Act::Fail(ConnectionFailure::new(kind, lost).into())
}

fn stale() -> Act {
    connection(ConnectionFailureKind::Stale)
}

/// A budget of nothing.
#[derive(Clone, Default)]
struct Empty(Arc<AtomicIsize>);

impl Budget for Empty {
    fn deposit(&self) {}

    fn withdraw(&self) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst);
        false
    }
}

#[tokio::test(start_paused = true)]
async fn who_refuses_a_connection_is_passed_over_by_default_and_at_no_cost() {
    let asked = Empty::default();
    let table = builder(
        [server(4, TrafficPolicy::new())],
        Rule::new("rule").target("server"),
    );
    let rig = Rig::new(table.retry_budget(asked.clone()).build().unwrap());
    for host in ["e0", "e1", "e2"] {
        rig.engines.always(host, fails);
    }
    for _ in 0..50 {
        let answer = rig.ask().await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.decision().endpoint(), "http://e3");
        tokio::time::sleep(SECOND / 3).await;
    }
    assert_eq!(
        asked.0.load(Ordering::SeqCst),
        0,
        "the budget is for retries"
    );
    // What was refused counts against the endpoints all the same.
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Ejected);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_takes_no_retry_from_those_that_the_policy_allows() {
    let rig = Rig::one(4, retries(1));
    rig.engines.next([fails(), status(503), fails()]);
    assert_eq!(rig.ask().await.status(), 200);
    let rig = Rig::one(4, retries(1));
    rig.engines.next([fails(), status(503), status(503)]);
    let answer = rig.ask().await;
    assert_eq!(
        (answer.status().as_u16(), answer.decision().attempts()),
        (503, 3)
    );
}

#[tokio::test(start_paused = true)]
async fn a_stale_connection_is_replaced_by_a_fresh_one_to_the_same_endpoint() {
    for endpoints in [1, 3] {
        let rig = Rig::one(endpoints, retries(1));
        rig.engines.next([stale()]);
        assert_eq!(rig.ask().await.status(), 200);
        let attempts = rig.engines.attempts();
        let is_fresh = |n: usize| {
            attempts[n]
                .head
                .extensions
                .get::<FreshConnection>()
                .is_some()
        };
        assert_eq!(attempts[0].host(), attempts[1].host());
        assert_eq!((is_fresh(0), is_fresh(1)), (false, true));
        assert_eq!(rig.endpoint("e0").failures(), 0);
        // And the retry is still there.
        rig.engines.next([stale(), status(503)]);
        assert_eq!(
            rig.ask().await.status().as_u16(),
            if endpoints == 1 { 503 } else { 200 }
        );
    }
}

fn refused() -> Act {
    connection(ConnectionFailureKind::NotProcessed)
}

/// RFC 9113 section 8.7: the engine says so itself, so that it is safe whatever the policy.
#[tokio::test(start_paused = true)]
async fn what_the_only_endpoint_has_not_processed_it_gets_on_a_fresh_connection() {
    let https = ModelServer::new("server").endpoint("https://e0");
    let https = table([https], Rule::new("rule").target("server"));
    let http = one_server(1, retries(1));
    for (refusals, table) in [(1, &http), (2, &http), (2, &https)] {
        let rig = Rig::new(table.clone());
        rig.engines.next((0..refusals).map(|_| refused()));
        let answer = rig.ask().await;
        assert_eq!(answer.status(), 200);
        let attempts = rig.engines.attempts();
        assert_eq!(attempts.len(), refusals + 1);
        let is_fresh = |n: usize| attempts[n].head.extensions.get::<FreshConnection>();
        assert!(is_fresh(0).is_none() && is_fresh(1).is_some());
        assert_eq!((failures(&rig.table), rig.in_flight()), (0, 0));
    }
    // One that refuses all is not asked for ever.
    let rig = Rig::one(1, retries(1));
    rig.engines.everywhere(refused);
    assert_eq!(rig.ask().await.status(), StatusCode::BAD_GATEWAY);
    assert_eq!((rig.engines.attempts().len(), rig.in_flight()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_processed_goes_to_the_other_healthy_endpoints_first() {
    let rig = Rig::one(3, TrafficPolicy::new());
    rig.engines.next((0..3).map(|_| refused()));
    assert_eq!(rig.ask().await.status(), 200);
    let attempts = rig.engines.attempts();
    let hosts: Vec<_> = attempts.iter().map(|attempt| attempt.host()).collect();
    assert_eq!(hosts.iter().collect::<HashSet<_>>().len(), 3);
    assert_eq!((hosts.len(), hosts[3]), (4, hosts[2]));
    let fresh = attempts
        .iter()
        .map(|attempt| attempt.head.extensions.get::<FreshConnection>());
    let fresh: Vec<_> = fresh.map(|fresh| fresh.is_some()).collect();
    assert_eq!(fresh, [false, false, false, true]);
    // One that is down is not preferred to it.
    let rig = Rig::one(2, TrafficPolicy::new());
    rig.engines.always("e1", fails);
    while rig.endpoint("e1").health() != EndpointHealth::Ejected {
        rig.ask().await;
        tokio::time::sleep(SECOND / 3).await;
    }
    rig.engines.attempts();
    rig.engines.next([refused()]);
    assert_eq!(rig.ask().await.status(), 200);
    assert_eq!(rig.engines.hosts(), ["e0", "e0"]);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_connection_that_is_lost_is_a_failure() {
    let rig = Rig::one(1, retries(2));
    rig.engines
        .next([stale(), connection(ConnectionFailureKind::Lost)]);
    assert_eq!(rig.ask().await.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(rig.endpoint("e0").failures(), 1);
}

/// It can't tell an idle connection from a fresh one.
#[tokio::test(start_paused = true)]
async fn with_any_other_client_the_first_loss_of_a_request_is_free_and_the_second_counts() {
    let rig = Rig::one(1, retries(1));
    rig.engines.next([resets()]);
    assert_eq!(rig.ask().await.status(), 200);
    assert_eq!(rig.endpoint("e0").failures(), 0);

    // The pools of two engines are stale: a third connection is fresh.
    let rig = Rig::one(2, retries(1));
    rig.engines.next([resets(), resets()]);
    assert_eq!(rig.ask().await.status(), 200);
    let hosts = rig.engines.hosts();
    assert_ne!(hosts[0], hosts[1]);
    assert_eq!(hosts[0], hosts[2]);
    assert_eq!(rig.endpoint(&hosts[0]).failures(), 0);
    assert_eq!(rig.endpoint(&hosts[1]).failures(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_restart_behind_an_address_ejects_nobody() {
    let detection = OutlierDetection::new().consecutive_failures(1);
    let rig = Rig::one(1, TrafficPolicy::new().outlier_detection(detection));
    rig.engines.next((0..20).map(|_| stale()));
    for _ in 0..20 {
        rig.ask().await;
    }
    assert_eq!(rig.endpoint("e0").ejections(), 0);
    assert_eq!(rig.ask().await.status(), 200);
}

/// An engine that dies of every request is not an idle connection.
#[tokio::test(start_paused = true)]
async fn losses_that_go_on_for_ten_seconds_without_an_answer_count() {
    let detection = OutlierDetection::new().consecutive_failures(3);
    let rig = Rig::one(2, retries(1).outlier_detection(detection));
    rig.engines.always("e0", resets);
    for _ in 0..12 {
        assert_eq!(rig.ask().await.status(), 200);
        tokio::time::sleep(SECOND).await;
    }
    assert!((1..3).contains(&rig.endpoint("e0").failures()));
    for _ in 0..12 {
        assert_eq!(rig.ask().await.status(), 200);
        tokio::time::sleep(SECOND).await;
    }
    assert!(rig.endpoint("e0").ejections() >= 1);
}

/// Where little is asked each idle connection may be found closed, and another engine answers.
#[tokio::test(start_paused = true)]
async fn losses_that_are_far_apart_do_not() {
    let rig = Rig::one(2, retries(1));
    rig.engines.always("e0", resets);
    for _ in 0..20 {
        assert_eq!(rig.ask().await.status(), 200);
        tokio::time::sleep(61 * SECOND).await;
    }
    assert!(rig.engines.count("e0") > 5);
    assert_eq!(rig.endpoint("e0").failures(), 0);
}

/// RFC 9110 section 9.2.2: a request that may have been processed is repeated only if that does
/// no harm, or if it was allowed.
#[tokio::test(start_paused = true)]
async fn by_default_only_what_does_no_harm_is_repeated_after_it_was_written() {
    let put = || {
        let mut put = asked();
        *put.method_mut() = Method::PUT;
        put
    };
    let cases = [
        (asked(), stale(), 502),
        (asked(), resets(), 502),
        (
            asked(),
            connection(ConnectionFailureKind::NotProcessed),
            200,
        ),
        (put(), stale(), 200),
        // Not even the body's first byte was asked for.
        (asked(), stale().unread(), 200),
    ];
    for (n, (request, act, expected)) in cases.into_iter().enumerate() {
        let rig = Rig::one(2, TrafficPolicy::new());
        rig.engines.next([act]);
        let answer = rig.send(request).await;
        assert_eq!(answer.status(), expected, "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_too_large_to_be_kept_goes_on_if_nothing_of_it_was_read() {
    let text = format!(r#"{{"model":"asked","pad":"{}"}}"#, "x".repeat(3 << 20));
    let rig = Rig::with(
        test_kit::table::one_server(3, TrafficPolicy::new()),
        |table| ModelRouteLayer::new(table).replay_bytes(1 << 20),
    );
    rig.engines.next([fails().unread(), fails().unread()]);
    let answer = rig.send(chat(Body::from(text.clone()))).await;
    assert_eq!(answer.status(), 200);
    let attempts = rig.engines.attempts();
    assert_eq!(attempts.len(), 3);
    assert_eq!(
        attempts[2].text().len(),
        text.len() - "asked".len() + "real".len()
    );
    // But not once it was begun.
    rig.engines.next([fails()]);
    assert_eq!(rig.send(chat(Body::from(text))).await.status(), 502);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_no_loss_and_needs_a_retry() {
    let rig = Rig::one(2, TrafficPolicy::new());
    rig.engines.next([times_out()]);
    assert_eq!(rig.send(chat(Body::from(ASKED))).await.status(), 504);
}
