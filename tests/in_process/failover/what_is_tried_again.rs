//! What is tried again, how often, and after how long.

use std::{collections::HashSet, io, time::Duration};

use http::StatusCode;
use test_kit::{
    body::script_of,
    engines::{Act, answers, fails, resets, says, status, times_out},
    gateway::Rig,
    request::REWRITTEN,
    table::{builder, failures, one_server, retries, server, single, table},
};
use tower_model_route::{OutlierDetection, Rule, TrafficPolicy};

#[tokio::test(start_paused = true)]
async fn only_429_500_502_503_504_and_529_are_tried_again() {
    for code in 200..600 {
        let rig = Rig::one(3, retries(2));
        rig.engines.next([status(code)]);
        let answer = rig.ask().await;
        let again = [429, 500, 502, 503, 504, 529].contains(&code);
        assert_eq!(
            rig.engines.attempts().len(),
            1 + usize::from(again),
            "{code}"
        );
        if again {
            assert_eq!(answer.status(), 200);
        } else {
            assert_eq!(answer.status(), code);
        }
        assert_eq!(rig.in_flight(), 0);
    }
}

/// An error in JSON within whose body the connection is lost.
fn cut(status: u16) -> Act {
    let (script, body) = script_of(Some(100));
    let lost = io::Error::from(io::ErrorKind::ConnectionReset);
    script.data("{").fail(lost);
    answers(status, body).header("content-type", "application/json")
}

/// Its head was the answer, so this is no connection that was lost before one.
#[tokio::test(start_paused = true)]
async fn an_error_that_is_cut_is_tried_again_by_its_status_and_always_blamed() {
    for (status, again) in [(404, false), (400, false), (503, true)] {
        let policy = retries(1).retry_too_long(true);
        let rig = Rig::one(2, policy.clone());
        rig.engines.next([cut(status)]);
        let answer = rig.ask().await;
        assert_eq!(answer.status(), if again { 200 } else { status });
        assert_eq!(answer.body.is_err(), !again);
        assert_eq!(rig.engines.attempts().len(), 1 + usize::from(again));
        assert_eq!((failures(&rig.table), rig.in_flight()), (1, 0));
        // Nobody gets it at no cost.
        let policy = policy.max_retries(0);
        let rig = Rig::one(1, policy.outlier_detection(OutlierDetection::new()));
        rig.engines.next((0..5).map(|_| cut(status)));
        for _ in 0..5 {
            let answer = rig.ask().await;
            assert_eq!(
                (answer.status().as_u16(), answer.body.is_err()),
                (status, true)
            );
        }
        assert_eq!(rig.engines.attempts().len(), 5);
        assert_eq!(rig.endpoint("e0").ejections(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_400_is_asked_for_once_and_handed_through_as_it_is() {
    let rig = Rig::one(2, retries(3));
    let text = r#"{"object":"error","message":"max_tokens is too large","code":400}"#;
    for _ in 0..20 {
        let refused = says(400, text)
            .header("x-own", "7")
            .header("content-type", "x/y");
        rig.engines.next([refused]);
        let answer = rig.ask().await;
        assert_eq!(
            (answer.status(), answer.text()),
            (StatusCode::BAD_REQUEST, text)
        );
        assert_eq!(answer.header("x-own"), Some("7"));
        assert_eq!(answer.header("content-type"), Some("x/y"));
        assert_eq!(rig.engines.attempts().len(), 1);
    }
    for server in rig.table.servers() {
        for endpoint in server.endpoints() {
            assert_eq!(endpoint.failures(), 0);
            assert_eq!(endpoint.consecutive_failures(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn errors_and_timeouts_are_tried_again() {
    for failure in [fails, times_out] {
        let rig = Rig::one(2, retries(1));
        rig.engines.next([failure()]);
        assert_eq!(rig.ask().await.status(), 200);
        assert_eq!(rig.engines.attempts().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_engine_may_have_seen_is_not_tried_again_by_default() {
    let rig = Rig::one(3, TrafficPolicy::new());
    rig.engines.next([says(503, "busy"), resets(), times_out()]);
    let answer = rig.ask().await;
    assert_eq!((answer.status().as_u16(), answer.text()), (503, "busy"));
    assert_eq!(rig.ask().await.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(rig.ask().await.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(rig.engines.attempts().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn it_is_sent_once_and_max_retries_times_more_each_time_elsewhere() {
    for n in 0..5 {
        let rig = Rig::one(8, retries(n));
        rig.engines.everywhere(|| status(503));
        let answer = rig.ask().await;
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.decision().attempts(), n + 1);
        let attempts = rig.engines.attempts();
        assert_eq!(attempts.len(), n as usize + 1);
        assert!(attempts.iter().all(|attempt| attempt.text() == REWRITTEN));
        let hosts: HashSet<_> = attempts.iter().map(|attempt| attempt.host()).collect();
        assert_eq!(hosts.len(), attempts.len());
        assert_eq!(rig.in_flight(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_every_endpoint_has_been_tried() {
    let rig = Rig::one(3, retries(100));
    rig.engines.everywhere(fails);
    assert_eq!(rig.ask().await.status(), StatusCode::BAD_GATEWAY);
    let mut hosts = rig.engines.hosts();
    hosts.sort();
    assert_eq!(hosts, ["e0", "e1", "e2"]);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_two_servers_share_is_tried_once() {
    let servers = ["a", "b"].map(|name| {
        tower_model_route::ModelServer::new(name)
            .endpoint("http://shared:80/")
            .traffic_policy(retries(5))
    });
    let rule = Rule::new("rule").target("a").target("b").fallback("c");
    let rig = Rig::new(table(
        servers.into_iter().chain([single("c", retries(5))]),
        rule,
    ));
    rig.engines.everywhere(|| status(503));
    rig.ask().await;
    assert_eq!(rig.engines.hosts(), ["shared", "c"]);
}

#[tokio::test(start_paused = true)]
async fn other_statuses_can_be_tried_again() {
    let policy = retries(1).retry_statuses([StatusCode::INTERNAL_SERVER_ERROR]);
    let rig = Rig::one(2, policy);
    rig.engines.next([status(500)]);
    assert_eq!(rig.ask().await.status(), 200);
    rig.engines.next([status(503)]);
    assert_eq!(rig.ask().await.status(), 503);
    rig.engines.next([fails()]);
    assert_eq!(rig.ask().await.status(), 200);

    let none = Rig::one(2, retries(1).retry_statuses([]));
    none.engines.next([status(503)]);
    assert_eq!(none.ask().await.status(), 503);
}

#[test]
fn a_status_that_blames_the_request_cant_be_tried_again() {
    for code in [200, 400, 404, 408, 422, 499] {
        let policy = TrafficPolicy::new().retry_statuses([StatusCode::from_u16(code).unwrap()]);
        let servers = [server(1, policy)];
        let table = builder(servers, Rule::new("rule").target("server")).build();
        assert!(table.is_err(), "{code}");
    }
}

/// Between the attempts of one request, in milliseconds.
async fn intervals(policy: TrafficPolicy, attempts: usize) -> Vec<u128> {
    let rig = Rig::new(one_server(attempts, policy));
    rig.engines.everywhere(|| status(503));
    rig.ask().await;
    let attempts = rig.engines.attempts();
    attempts
        .windows(2)
        .map(|pair| (pair[1].at - pair[0].at).as_millis())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_interval_doubles_varies_by_a_quarter_and_has_a_cap() {
    let policy = TrafficPolicy::new()
        .max_retries(6)
        .outlier_detection(OutlierDetection::off());
    let mut first = HashSet::new();
    for _ in 0..50 {
        let intervals = intervals(policy.clone(), 7).await;
        // A timer may be late by the millisecond that it is precise to.
        for (interval, (least, most)) in intervals.iter().zip([
            (75, 126),
            (150, 251),
            (300, 501),
            (600, 1001),
            (1200, 2001),
            (1500, 2001),
        ]) {
            assert!((least..=most).contains(interval), "{intervals:?}");
        }
        assert_eq!(intervals.len(), 6);
        first.insert(intervals[0]);
    }
    assert!(first.len() > 10, "it does not vary: {first:?}");
}

#[tokio::test(start_paused = true)]
async fn the_interval_can_be_set() {
    let policy = retries(3)
        .retry_interval(Duration::from_secs(3))
        .max_retry_interval(Duration::from_secs(3));
    for interval in intervals(policy, 4).await {
        assert!((2250..=3001).contains(&interval), "{interval}");
    }
    assert_eq!(intervals(retries(3), 4).await, [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_interval_beyond_all_measure_is_no_panic() {
    let policy = retries(1)
        .retry_interval(Duration::MAX)
        .max_retry_interval(Duration::MAX);
    let rig = Rig::one(2, policy.total_timeout(Duration::from_secs(1)));
    // More than once: it varies at random.
    for _ in 0..20 {
        rig.engines.next([status(503)]);
        assert_eq!(rig.ask().await.status(), 503);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_in_the_interval_leaves_nothing_behind() {
    let policy = retries(1).retry_interval(Duration::from_secs(10));
    let rig = Rig::one(2, policy.max_retry_interval(Duration::from_secs(10)));
    rig.engines.next([status(503)]);
    let call = rig.spawn();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(rig.engines.attempts().len(), 1);
    // The engine has nothing to do meanwhile.
    assert_eq!(rig.in_flight(), 0);
    call.abort();
    _ = call.await;
    assert_eq!(rig.in_flight(), 0);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.engines.attempts().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_shed_attempt_moves_on_at_once_and_says_nothing_of_the_engine() {
    let overloaded = || Act::Fail(tower::load_shed::error::Overloaded::new().into());
    let policy = TrafficPolicy::new().max_retries(2);
    let rig = Rig::one(3, policy.clone());
    rig.engines.next([overloaded(), overloaded()]);
    let answer = rig.ask().await;
    assert_eq!(answer.status(), 200);
    let attempts = rig.engines.attempts();
    assert_eq!(attempts.len(), 3);
    assert!(attempts.iter().all(|attempt| attempt.at == attempts[0].at));

    // Where all are full, it is an overload, and each was asked once.
    rig.engines
        .everywhere(|| Act::Fail(tower::load_shed::error::Overloaded::new().into()));
    let answer = rig.ask().await;
    assert_eq!(
        (answer.status().as_u16(), &*answer.code()),
        (503, "overloaded")
    );
    assert!(answer.header("retry-after").is_some());
    assert_eq!(rig.engines.attempts().len(), 3);
    for server in rig.table.servers() {
        assert!(
            server
                .endpoints()
                .iter()
                .all(|endpoint| endpoint.failures() == 0)
        );
    }
}
