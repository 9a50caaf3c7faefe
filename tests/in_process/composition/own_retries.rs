//! A retry policy of the caller's in place of the failover, around it, or that wraps it.

use std::{
    collections::HashSet,
    future::{Ready, ready},
};

use futures_util::future::Either;
use http::{Request, Response, StatusCode};
use test_kit::{
    answer::Answer,
    engines::{Attempt, Engines, status},
    gateway::Gateway,
    paused::settle,
    request::asked,
    table::{endpoint, failures, in_flight, one_server, retries, server, table},
};
use tokio::time::sleep;
use tower::{
    ServiceBuilder, ServiceExt,
    retry::{Policy, RetryLayer},
};
use tower_model_route::{
    AnswerErrorsLayer, AttemptTimeoutLayer, Failover, FailoverLayer, ModelRouteLayer, ModelServer,
    RetryInterval, RouteBody, RouteTable, Rule, TrafficPolicy,
};

use crate::SECOND;

/// Sends again what was answered with 409 or 503, up to so many times.
#[derive(Clone)]
struct Own {
    left: u32,
    /// Whether it asks for another endpoint.
    asks: bool,
}

impl<R, E> Policy<Request<RouteBody>, Response<R>, E> for Own {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        request: &mut Request<RouteBody>,
        result: &mut Result<Response<R>, E>,
    ) -> Option<Ready<()>> {
        let status = result.as_ref().ok()?.status().as_u16();
        if !matches!(status, 409 | 503) || self.left == 0 {
            return None;
        }
        self.left -= 1;
        if self.asks {
            Failover::next(request);
        }
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Request<RouteBody>) -> Option<Request<RouteBody>> {
        Some(request.clone())
    }
}

fn own(left: u32, asks: bool) -> RetryLayer<Own> {
    RetryLayer::new(Own { left, asks })
}

async fn ask(gateway: &Gateway) -> Answer {
    let Ok(answer) = gateway.clone().oneshot(asked()).await;
    Answer::of(answer).await
}

/// This retry in place of the failover, with or without the layer that sees how attempts end.
fn instead(engines: &Engines, table: &RouteTable, retry: RetryLayer<Own>, sees: bool) -> Gateway {
    let layer = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table.clone()))
        .layer(AnswerErrorsLayer::new())
        .layer(retry);
    if sees {
        Gateway::over(engines, layer.layer(AttemptTimeoutLayer::new()))
    } else {
        Gateway::over(engines, layer)
    }
}

/// A retry of the caller's around the failover.
fn around(engines: &Engines, table: &RouteTable) -> Gateway {
    let layer = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table.clone()))
        .layer(AnswerErrorsLayer::new())
        .layer(own(1, false))
        .layer(FailoverLayer::new())
        .layer(AttemptTimeoutLayer::new());
    Gateway::over(engines, layer)
}

/// Two endpoints, and another ModelServer as the last resort.
fn three() -> RouteTable {
    let fallback = ModelServer::new("other").model("renamed");
    let rule = Rule::new("rule").target("server").fallback("other");
    table(
        [
            server(2, TrafficPolicy::new()),
            fallback.endpoint("http://o0"),
        ],
        rule,
    )
}

fn models(attempts: &[Attempt]) -> Vec<&str> {
    let rewritten = |attempt: &Attempt| attempt.text().contains("renamed");
    let name = |attempt| {
        if rewritten(attempt) {
            "renamed"
        } else {
            "real"
        }
    };
    attempts.iter().map(name).collect()
}

#[tokio::test(start_paused = true)]
async fn what_it_sends_again_goes_elsewhere_under_the_name_used_there() {
    for (retry, sees) in [
        (own(5, false), true),
        (own(5, true), true),
        (own(5, true), false),
    ] {
        let (engines, table) = (Engines::default(), three());
        let gateway = instead(&engines, &table, retry, sees);
        engines.next([status(503), status(409)]);
        let answer = ask(&gateway).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.decision().attempts(), 3);
        assert_eq!(answer.decision().endpoint(), "http://o0");
        let attempts = engines.attempts();
        let hosts: Vec<_> = attempts.iter().map(Attempt::host).collect();
        assert_eq!(hosts.len(), 3);
        assert!(hosts.contains(&"e0") && hosts.contains(&"e1"), "{hosts:?}");
        assert_eq!(models(&attempts), ["real", "real", "renamed"]);
        assert_eq!(in_flight(&table), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_other_it_asks_the_same_endpoint_and_each_attempt_counts() {
    for asks in [false, true] {
        let (engines, table) = (Engines::default(), one_server(1, TrafficPolicy::new()));
        let gateway = instead(&engines, &table, own(2, asks), true);
        engines.everywhere(|| status(503));
        let answer = ask(&gateway).await;
        assert_eq!(
            (answer.status(), answer.text()),
            (StatusCode::SERVICE_UNAVAILABLE, "503")
        );
        assert_eq!(answer.decision().attempts(), 3);
        assert_eq!(engines.hosts(), ["e0", "e0", "e0"]);
        assert_eq!(endpoint(&table, "http://e0").failures(), 3);
        assert_eq!(in_flight(&table), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_gives_up_leaves_the_attempt_as_it_ended() {
    let (engines, table) = (Engines::default(), one_server(2, TrafficPolicy::new()));
    let gateway = instead(&engines, &table, own(1, true), true);
    engines.everywhere(|| status(503));
    let answer = ask(&gateway).await;
    assert_eq!(answer.decision().attempts(), 2);
    assert_eq!(failures(&table), 2);
}

#[tokio::test(start_paused = true)]
async fn around_the_failover_it_begins_where_that_has_ended() {
    let (engines, table) = (Engines::default(), one_server(4, retries(1)));
    let gateway = around(&engines, &table);
    engines.next([status(503), status(503)]);
    let answer = ask(&gateway).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.decision().attempts(), 3);
    let hosts: HashSet<_> = engines.hosts().into_iter().collect();
    assert_eq!(hosts.len(), 3, "an endpoint was asked twice");
    assert_eq!(in_flight(&table), 0);
}

/// The policy of this crate, and a 409 is sent elsewhere too.
struct OnConflict<R>(Failover<R>);

/// One for each request, as tower has it.
impl<R> Clone for OnConflict<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R: Default, E: 'static> Policy<Request<RouteBody>, Response<R>, E> for OnConflict<R> {
    type Future = Either<RetryInterval, Ready<()>>;

    fn retry(
        &mut self,
        request: &mut Request<RouteBody>,
        result: &mut Result<Response<R>, E>,
    ) -> Option<Self::Future> {
        let is_conflict = |answer: &Response<R>| answer.status() == StatusCode::CONFLICT;
        if result.as_ref().is_ok_and(is_conflict) {
            return Failover::next(request).then(|| Either::Right(ready(())));
        }
        self.0.retry(request, result).map(Either::Left)
    }

    fn clone_request(&mut self, request: &Request<RouteBody>) -> Option<Request<RouteBody>> {
        Some(request.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_wraps_the_failover_adds_to_what_it_sends_again() {
    // `max_retries` is for what the policy itself sends again.
    for (max_retries, met, ends, attempts) in [
        (0, &[409][..], 200, 2),
        (0, &[503], 503, 1),
        (0, &[409, 503], 503, 2),
        (0, &[409, 409, 409], 409, 3),
        (1, &[503], 200, 2),
        (1, &[409, 503], 200, 3),
        (1, &[503, 409], 200, 3),
        (1, &[503, 503], 503, 2),
    ] {
        let (engines, table) = (Engines::default(), one_server(3, retries(max_retries)));
        let layer = ServiceBuilder::new()
            .layer(ModelRouteLayer::new(table.clone()))
            .layer(AnswerErrorsLayer::new())
            .layer(RetryLayer::new(OnConflict(Failover::new())))
            .layer(AttemptTimeoutLayer::new());
        let gateway = Gateway::over(&engines, layer);
        engines.next(met.iter().copied().map(status));
        let answer = ask(&gateway).await;
        assert_eq!(answer.status(), ends, "{max_retries} {met:?}");
        assert_eq!(
            answer.decision().attempts(),
            attempts,
            "{max_retries} {met:?}"
        );
        let hosts = engines.hosts();
        let elsewhere: HashSet<_> = hosts.iter().collect();
        assert_eq!(hosts.len() as u32, attempts, "{max_retries} {met:?}");
        assert_eq!(
            elsewhere.len(),
            hosts.len(),
            "an endpoint was asked twice: {hosts:?}"
        );
        let failed = met.iter().filter(|status| **status == 503).count();
        assert_eq!(failures(&table), failed as u64, "{max_retries} {met:?}");
        assert_eq!(in_flight(&table), 0);
    }
}

/// The failover has let go of e0 for e1, which is full, and gives up; the caller does not.
#[tokio::test(start_paused = true)]
async fn an_attempt_after_the_failover_has_given_up_is_one_like_any_other() {
    let table = one_server(2, retries(1).max_in_flight(1));
    let engines = Engines::default();
    let gateway = around(&engines, &table);
    let minute = 60 * SECOND;
    engines.next([
        status(503).late(SECOND),
        status(200).late(minute),
        status(200).late(minute),
    ]);
    let first = tokio::spawn(gateway.clone().oneshot(asked()));
    settle().await;
    let second = tokio::spawn(gateway.clone().oneshot(asked()));
    sleep(2 * SECOND).await;
    assert_eq!(engines.attempts().len(), 3);
    assert_eq!(in_flight(&table), 2);
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
}
