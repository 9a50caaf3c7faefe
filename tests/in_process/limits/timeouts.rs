//! How long an attempt may take, and the request as a whole.

use std::{future::pending, time::Duration};

use http::{Request, Response, StatusCode};
use test_kit::{
    answer::Answer,
    body::{Script, Scripted, script, script_of},
    engines::{Act, Engines, answers, fails, says, status},
    gateway::{Gateway, Rig},
    paused::within,
    request::asked,
    table::{failures, one_server, retries, single, table},
};
use tokio::time::{Instant, timeout};
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_model_route::{
    AnswerErrorsLayer, AttemptTimeout, AttemptTimeoutLayer, Failover, ModelRouteLayer, RouteBody,
    Rule, TrafficPolicy, stack,
};
use tower_test::mock;

use crate::SECOND;

const MILLISECOND: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn an_attempt_has_the_timeout_of_its_server() {
    let start = Instant::now();
    let rule = Rule::new("rule").target("quick").fallback("slow");
    let servers = [
        single("quick", retries(1).timeout(2 * SECOND)),
        single("slow", retries(0).timeout(5 * SECOND)),
    ];
    let rig = Rig::new(table(servers, rule));
    rig.engines.everywhere(|| Act::Hang);
    let answer = rig.ask().await;
    assert_eq!(
        (answer.status(), &*answer.code()),
        (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout")
    );
    let attempts = rig.engines.attempts();
    assert_eq!((attempts[1].at - start).as_secs(), 2);
    assert_eq!(start.elapsed().as_secs(), 7);
    // The calls were dropped, which closes the exchange.
    assert_eq!((rig.engines.under_way(), rig.in_flight()), (0, 0));
    assert_eq!(rig.endpoint("quick").failures(), 1);
}

/// Of a 503 the words are part of it: they may say that the engine is only busy.
#[tokio::test(start_paused = true)]
async fn an_engine_that_does_not_finish_its_503_has_not_answered() {
    let rig = Rig::one(2, retries(1).timeout(2 * SECOND));
    let (busy, body) = script_of(Some(100));
    busy.data(r#"{"error":"#);
    rig.engines
        .next([answers(503, body).header("content-type", "application/json")]);
    let start = Instant::now();
    assert_eq!(rig.ask().await.status(), 200);
    assert_eq!(start.elapsed().as_secs(), 2);
    assert!(busy.is_dropped());
    assert_eq!(failures(&rig.table), 1);
}

/// An error in JSON whose body has begun, and the body of it.
fn begun(status: u16) -> (Script, Act) {
    let (script, body) = script_of(Some(100));
    script.data("{");
    let act = answers(status, body).header("content-type", "application/json");
    (script, act)
}

/// Its status is known, and what it may say besides is not waited for without end.
#[tokio::test(start_paused = true)]
async fn an_error_that_stalls_or_drips_breaks_off_as_any_answer_does() {
    let policy = || retries(0).stream_idle_timeout(2 * SECOND);
    for (status, drips) in [(404, false), (404, true), (400, true), (503, false)] {
        let rig = Rig::one(1, policy().retry_too_long(true));
        let (script, act) = begun(status);
        rig.engines.next([act]);
        let dripping = tokio::spawn(async move {
            loop {
                tokio::time::sleep(SECOND / 3).await;
                drips.then(|| script.data(" "));
            }
        });
        let start = Instant::now();
        let answer = rig.ask().await;
        assert_eq!(answer.status(), status);
        assert!(answer.body.is_err());
        assert_eq!(start.elapsed().as_secs(), 2);
        assert_eq!((rig.in_flight(), rig.engines.under_way()), (0, 0));
        assert_eq!(rig.endpoint("e0").failures(), 1, "{status}");
        dripping.abort();
    }
    // By its status it may be sent again.
    for (status, expected) in [(503, 200), (404, 404)] {
        let rig = Rig::one(2, policy().max_retries(1));
        let (_script, act) = begun(status);
        rig.engines.next([act]);
        assert_eq!(rig.ask().await.status(), expected);
        assert_eq!(failures(&rig.table), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_goes_on_as_it_came_once_the_time_for_its_head_is_over() {
    for policy in [
        retries(1).timeout(2 * SECOND),
        retries(1).total_timeout(2 * SECOND),
        retries(1).first_event_timeout(2 * SECOND),
    ] {
        let rig = Rig::one(2, policy);
        let (script, act) = begun(404);
        rig.engines.next([act]);
        let start = Instant::now();
        let answer = rig.answer().await;
        assert_eq!(answer.status(), 404);
        assert_eq!(start.elapsed().as_secs(), 2);
        tokio::time::sleep(10 * SECOND).await;
        script.send("x".repeat(99)).end();
        assert_eq!(Answer::of(answer).await.text().len(), 100);
        assert_eq!((rig.engines.attempts().len(), failures(&rig.table)), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_is_an_answer() {
    let rig = Rig::one(1, TrafficPolicy::new().timeout(2 * SECOND));
    rig.engines
        .next([status(200).late(2 * SECOND - MILLISECOND)]);
    assert_eq!(rig.ask().await.status(), 200);
    rig.engines
        .next([status(200).late(2 * SECOND + MILLISECOND)]);
    assert_eq!(rig.ask().await.status(), StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn no_timeout_cuts_an_answers_body() {
    let policy = TrafficPolicy::new()
        .timeout(SECOND)
        .total_timeout(2 * SECOND);
    let rig = Rig::one(1, policy);
    let (body, scripted) = script();
    rig.engines.next([answers(200, scripted)]);
    let answer = rig.answer().await;
    tokio::time::sleep(Duration::from_secs(1000)).await;
    body.data("slowly").end();
    assert_eq!(Answer::of(answer).await.text(), "slowly");
}

#[tokio::test(start_paused = true)]
async fn without_a_timeout_an_engine_may_take_as_long_as_it_likes() {
    let rig = Rig::one(1, TrafficPolicy::new());
    rig.engines
        .next([status(200).late(Duration::from_secs(50_000))]);
    assert_eq!(rig.ask().await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn the_total_timeout_holds_all_attempts() {
    let rig = Rig::one(9, retries(8).timeout(3 * SECOND).total_timeout(10 * SECOND));
    rig.engines.everywhere(|| Act::Hang);
    let start = Instant::now();
    let answer = rig.ask().await;
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    // After three attempts, what is left can't hold a fourth.
    assert_eq!(rig.engines.attempts().len(), 3);
    assert_eq!(start.elapsed().as_secs(), 9);
    assert_eq!((rig.engines.under_way(), rig.in_flight()), (0, 0));
}

/// `late` is when the first attempt fails.
async fn attempts_within(policy: TrafficPolicy, late: Duration) -> usize {
    let rig = Rig::one(2, policy.max_retries(1));
    rig.engines.next([says(503, "busy").late(late)]);
    let answer = rig.ask().await;
    let attempts = rig.engines.attempts().len();
    // Either the retry's answer, or that which there is.
    assert_eq!(answer.status(), if attempts == 2 { 200 } else { 503 });
    attempts
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_would_not_fit_is_not_begun() {
    let policy = retries(1).timeout(3 * SECOND).total_timeout(10 * SECOND);
    assert_eq!(
        attempts_within(policy.clone().timeout(8 * SECOND), 2 * SECOND).await,
        2
    );
    assert_eq!(
        attempts_within(policy.clone().timeout(8 * SECOND), 2 * SECOND + MILLISECOND).await,
        1
    );

    // With the interval: between 3 and 5 seconds, 3 for the attempt.
    let slow = policy
        .retry_interval(4 * SECOND)
        .max_retry_interval(5 * SECOND)
        .timeout(3 * SECOND);
    let slow = slow.total_timeout(9 * SECOND);
    for _ in 0..20 {
        assert_eq!(attempts_within(slow.clone(), SECOND).await, 2);
        let later = slow.clone().timeout(4 * SECOND);
        assert_eq!(attempts_within(later, 2 * SECOND + MILLISECOND).await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_timeout_that_must_fit_is_that_of_the_next_server() {
    let rule = || Rule::new("rule").target("first").fallback("second");
    let first = || single("first", retries(1).total_timeout(10 * SECOND));
    for (timeout, expected) in [(10 * SECOND, 2), (10 * SECOND + MILLISECOND, 1)] {
        let second = single("second", TrafficPolicy::new().timeout(timeout));
        let rig = Rig::new(table([first(), second], rule()));
        rig.engines.next([status(503)]);
        rig.ask().await;
        assert_eq!(rig.engines.attempts().len(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_without_a_timeout_of_its_own_ends_with_the_whole() {
    let rig = Rig::one(2, retries(1).total_timeout(10 * SECOND));
    rig.engines
        .next([says(503, "busy").late(4 * SECOND), Act::Hang]);
    let start = Instant::now();
    let answer = rig.ask().await;
    assert_eq!(rig.engines.attempts().len(), 2);
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!((answer.status().as_u16(), answer.text()), (503, "busy"));
    assert_eq!((rig.engines.under_way(), rig.in_flight()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_total_timeout_needs_no_other_layer() {
    let engines = Engines::default();
    engines.everywhere(|| Act::Hang);
    let table = one_server(2, retries(1).total_timeout(10 * SECOND));
    let bare = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table.clone()))
        .layer(AnswerErrorsLayer::new());
    let retrying = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table.clone()))
        .layer(AnswerErrorsLayer::new())
        .retry(Failover::new());
    for gateway in [
        Gateway::over(&engines, bare),
        Gateway::over(&engines, retrying),
    ] {
        let start = Instant::now();
        let Ok(answer) = within(gateway.oneshot(asked())).await;
        assert_eq!(Answer::of(answer).await.code(), "upstream_timeout");
        assert_eq!(start.elapsed().as_secs(), 10);
        assert_eq!(engines.under_way(), 0);
        assert!(table.servers().iter().all(|server| server.in_flight() == 0));
    }
    // It says nothing of the engines.
    let failures: u64 = table.servers()[0]
        .endpoints()
        .iter()
        .map(|endpoint| endpoint.failures())
        .sum();
    assert_eq!(failures, 0);
}

/// A layer of the caller's drops the attempt, whose timeout has watched the total one too, and does
/// nothing.
#[tokio::test(start_paused = true)]
async fn the_total_timeout_holds_after_an_attempt_was_dropped() {
    let engines = Engines::default();
    engines.everywhere(|| Act::Hang);
    let policy = TrafficPolicy::new().timeout(60 * SECOND);
    let table = one_server(1, policy.total_timeout(10 * SECOND));
    let giving_up = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table))
        .layer(AnswerErrorsLayer::new())
        .layer_fn(|inner: AttemptTimeout<_>| {
            service_fn(move |request: Request<RouteBody>| {
                let attempt = inner.clone().oneshot(request);
                async move {
                    match timeout(SECOND, attempt).await {
                        Ok(answer) => answer,
                        Err(_) => pending().await,
                    }
                }
            })
        })
        .layer(AttemptTimeoutLayer::new());
    let start = Instant::now();
    let Ok(answer) = within(Gateway::over(&engines, giving_up).oneshot(asked())).await;
    assert_eq!(Answer::of(answer).await.code(), "upstream_timeout");
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn the_total_timeout_holds_while_the_inner_service_is_not_ready() {
    let engines = Engines::default();
    engines.everywhere(|| Act::Hang);
    let table = one_server(1, TrafficPolicy::new().total_timeout(5 * SECOND));
    let gateway = Gateway::over(
        &engines,
        ServiceBuilder::new()
            .layer(stack(table.clone()))
            .concurrency_limit(1),
    );
    let first = tokio::spawn(gateway.clone().oneshot(asked()));
    tokio::time::sleep(SECOND).await;
    let start = Instant::now();
    let second = tokio::spawn(gateway.clone().oneshot(asked()));
    for call in [first, second] {
        let Ok(answer) = within(call).await.unwrap();
        assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    }
    assert_eq!(start.elapsed().as_secs(), 5);
    assert_eq!(table.servers()[0].in_flight(), 0);
    // The second had the permit for a second.
    assert_eq!(engines.attempts().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_readiness_that_never_comes_is_no_failure_of_the_engine() {
    let (mock, mut handle) = mock::pair::<Request<RouteBody>, Response<Scripted>>();
    handle.allow(0);
    let table = one_server(1, TrafficPolicy::new().total_timeout(5 * SECOND));
    let gateway = Gateway::new(stack(table.clone()).service(mock));
    let Ok(answer) = within(gateway.oneshot(asked())).await;
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    let endpoint = table.servers()[0].endpoints()[0].clone();
    assert_eq!((endpoint.failures(), endpoint.in_flight()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_total_timeout_holds_in_the_queue() {
    let policy = TrafficPolicy::new()
        .max_in_flight(1)
        .max_queue(1)
        .queue_timeout(100 * SECOND);
    let rig = Rig::one(1, policy.total_timeout(5 * SECOND));
    let (_body, scripted) = script();
    rig.engines.next([answers(200, scripted)]);
    let _held = rig.answer().await;
    let start = Instant::now();
    let answer = rig.ask().await;
    assert_eq!(start.elapsed().as_secs(), 5);
    assert_eq!(
        (answer.status().as_u16(), &*answer.code()),
        (503, "overloaded")
    );
    assert_eq!(rig.engines.attempts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_spent_in_the_queue_counts() {
    let policy = retries(1)
        .max_in_flight(1)
        .max_queue(9)
        .queue_timeout(100 * SECOND);
    let policy = policy.timeout(3 * SECOND).total_timeout(10 * SECOND);
    let rig = Rig::one(1, policy);
    let (_body, scripted) = script();
    rig.engines.next([answers(200, scripted), Act::Hang]);
    let held = rig.answer().await;
    let start = Instant::now();
    let call = rig.spawn();
    tokio::time::sleep(8 * SECOND).await;
    drop(held);
    let answer = call.await.unwrap();
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn times_beyond_all_measure_are_none() {
    let policy = TrafficPolicy::new()
        .timeout(Duration::MAX)
        .total_timeout(Duration::MAX)
        .stream_idle_timeout(Duration::MAX)
        .queue_timeout(Duration::MAX);
    let rig = Rig::one(2, policy.max_retries(1).max_in_flight(1).max_queue(1));
    rig.engines.next([fails()]);
    assert_eq!(rig.ask().await.status(), 200);
}
