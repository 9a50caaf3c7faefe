//! Limits below the layer: they guard the engines, and a slow upload holds none of them.

use std::time::Duration;

use http::{Request, Response, StatusCode};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{
    Layer, Service, ServiceBuilder, limit::GlobalConcurrencyLimitLayer, retry::Policy,
    timeout::error::Elapsed,
};
use tower_model_route::{AnswerErrorsLayer, ModelRouteLayer, RouteBody};

use crate::{
    script::{Scripted, script},
    support::{
        ASKED, BoxError, REWRITTEN, asked, assert_not_called, called, chat, in_flight, mock, ok,
        own, table, text,
    },
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn concurrency_limit_a_slow_upload_blocks_nobody() {
    let (mock, mut handle) = mock();
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table()))
        .concurrency_limit(1)
        .service(mock);
    let (upload, body) = script();
    let mut slow = task::spawn(service.call(chat(body)));
    upload.data(&ASKED[..1]);
    assert_pending!(slow.poll());

    // From the same service and from a clone: servers do either.
    for service in [&mut service.clone(), &mut service] {
        let mut quick = task::spawn(service.call(asked()));
        assert_pending!(quick.poll());
        let (_, reply) = called(&mut handle);
        reply.send_response(ok("quick"));
        assert_eq!(text(assert_ready_ok!(quick.poll()).into_body()), "quick");
        assert_pending!(slow.poll());
    }

    upload.data(&ASKED[1..]).end();
    assert_pending!(slow.poll());
    let (_, reply) = called(&mut handle);
    reply.send_response(ok("slow"));
    assert_eq!(text(assert_ready_ok!(slow.poll()).into_body()), "slow");
}

#[tokio::test(start_paused = true)]
async fn concurrency_limit_the_second_call_waits_for_the_first() {
    let (mock, mut handle) = mock();
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table()))
        .concurrency_limit(1)
        .service(mock);
    let mut first = task::spawn(service.call(asked()));
    let mut second = task::spawn(service.call(asked()));
    let mut third = task::spawn(service.call(asked()));
    for call in [&mut first, &mut second, &mut third] {
        assert_pending!(call.poll());
    }
    let (_, reply) = called(&mut handle);
    assert_not_called(&mut handle);

    reply.send_response(ok("first"));
    assert_ready_ok!(first.poll());
    // The head is there, so the limit is free, even while the body is still being read.
    assert!(second.is_woken());
    assert_pending!(second.poll());
    let (_, _running) = called(&mut handle);
    assert_not_called(&mut handle);

    // A client that goes away gives its turn to the next.
    drop(second);
    assert!(third.is_woken());
    assert_pending!(third.poll());
    let (_, reply) = called(&mut handle);
    reply.send_response(ok("third"));
    assert_ready_ok!(third.poll());
}

#[tokio::test(start_paused = true)]
async fn global_concurrency_limit_spans_services_of_one_table() {
    let (mock, mut handle) = mock();
    let table = table();
    // As axum does, which makes a service of each route.
    let layers = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table.clone()))
        .layer(GlobalConcurrencyLimitLayer::new(1));
    let mut one = layers.clone().service(mock.clone());
    let mut other = layers.service(mock);
    let mut first = task::spawn(one.call(asked()));
    let mut second = task::spawn(other.call(asked()));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    let (_, reply) = called(&mut handle);
    assert_not_called(&mut handle);
    assert_eq!(in_flight(&table), 2, "the counts are the table's");

    reply.send_response(ok(""));
    assert_ready_ok!(first.poll());
    assert_pending!(second.poll());
    called(&mut handle);
}

#[tokio::test(start_paused = true)]
async fn load_shed_over_a_limit_answers_503() {
    let (mock, mut handle) = mock();
    let table = table();
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table.clone()))
        .layer(AnswerErrorsLayer::new())
        .load_shed()
        .concurrency_limit(1)
        .service(mock);
    let (upload, body) = script();
    let mut uploading = task::spawn(service.call(chat(body)));
    assert_pending!(uploading.poll());
    let mut first = task::spawn(service.call(asked()));
    assert_pending!(first.poll());
    let (_, reply) = called(&mut handle);

    let mut second = task::spawn(service.call(asked()));
    let shed = own(assert_ready_ok!(second.poll()));
    assert_eq!(shed.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(shed.code, "overloaded");
    assert_eq!(shed.headers["retry-after"], "1");
    assert_not_called(&mut handle);
    assert_eq!(in_flight(&table), 1);

    // The upload took part in none of it: it is served once the first is done.
    reply.send_response(ok("first"));
    assert_ready_ok!(first.poll());
    upload.data(ASKED).end();
    assert_pending!(uploading.poll());
    called(&mut handle).1.send_response(ok("uploaded"));
    assert_ready_ok!(uploading.poll());
}

#[tokio::test(start_paused = true)]
async fn timeout_counts_the_call_alone_and_answers_504() {
    let (mock, mut handle) = mock();
    let table = table();
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table.clone()))
        .layer(AnswerErrorsLayer::new())
        .timeout(SECOND)
        .service(mock);
    let (upload, body) = script();
    let mut call = task::spawn(service.call(chat(body)));
    assert_pending!(call.poll());
    advance(30 * SECOND).await;
    upload.data(ASKED).end();
    assert_pending!(call.poll());
    called(&mut handle);

    let mut late = task::spawn(service.call(asked()));
    assert_pending!(late.poll());
    let (_request, _never) = called(&mut handle);
    advance(SECOND - Duration::from_millis(1)).await;
    assert_pending!(late.poll());
    advance(Duration::from_millis(1)).await;
    let answer = own(assert_ready_ok!(late.poll()));
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer.code, "upstream_timeout");
    drop(call);
    assert_eq!(in_flight(&table), 0);
}

#[tokio::test(start_paused = true)]
async fn timeout_without_answers_is_the_services_error() {
    let (mock, mut handle) = mock();
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table()))
        .timeout(SECOND)
        .service(mock);
    let mut call = task::spawn(service.call(asked()));
    assert_pending!(call.poll());
    let (_request, _never) = called(&mut handle);
    advance(SECOND).await;
    let error = assert_ready!(call.poll()).map(drop).unwrap_err();
    assert!(error.is::<Elapsed>());
}

#[tokio::test(start_paused = true)]
async fn buffer_gets_no_request_before_its_body_is_in() {
    let (mock, mut handle) = mock();
    // One slot: an upload that held it would stop all others.
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table()))
        .layer(AnswerErrorsLayer::new())
        .buffer(1)
        .service(mock);
    let (upload, body) = script();
    let mut slow = task::spawn(service.call(chat(body)));
    assert_pending!(slow.poll());
    let quick = tokio::spawn(service.call(asked()));
    let (_, reply) = within(handle.next_request()).await.unwrap();
    reply.send_response(ok("quick"));
    let answer = within(quick).await.unwrap().unwrap();
    assert_eq!(text(answer.into_body()), "quick");

    upload.data(ASKED).end();
    let slow = tokio::spawn(slow.into_inner());
    let (_, reply) = within(handle.next_request()).await.unwrap();
    reply.send_response(ok("slow"));
    let answer = within(slow).await.unwrap().unwrap();
    assert_eq!(text(answer.into_body()), "slow");
}

#[tokio::test(start_paused = true)]
async fn rate_limit_spaces_the_calls_out() {
    let (mock, mut handle) = mock();
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table()))
        .layer(AnswerErrorsLayer::new())
        // A rate limit can't be cloned; a buffer shares the one.
        .buffer(8)
        .rate_limit(1, SECOND)
        .service(mock);
    let start = tokio::time::Instant::now();
    let calls: Vec<_> = (0..3).map(|_| tokio::spawn(service.call(asked()))).collect();
    for n in 0..3 {
        let (request, reply) = within(handle.next_request()).await.unwrap();
        assert_eq!(text(request.into_body()), REWRITTEN);
        assert_eq!(start.elapsed().as_secs(), n);
        reply.send_response(ok("answer"));
    }
    for call in calls {
        let answer = within(call).await.unwrap().unwrap();
        assert_eq!(text(answer.into_body()), "answer");
    }
}

/// Sends again what failed, once.
#[derive(Clone)]
struct Once(bool);

impl Policy<Request<RouteBody>, Response<Scripted>, BoxError> for Once {
    type Future = std::future::Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<RouteBody>,
        result: &mut Result<Response<Scripted>, BoxError>,
    ) -> Option<Self::Future> {
        (result.is_err() && std::mem::replace(&mut self.0, false))
            .then(|| std::future::ready(()))
    }

    fn clone_request(&mut self, request: &Request<RouteBody>) -> Option<Request<RouteBody>> {
        request.body().is_replayable().then(|| request.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn retry_sends_the_same_request_again() {
    let (mock, mut handle) = mock();
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table()))
        .layer(AnswerErrorsLayer::new())
        .retry(Once(true))
        .service(mock);
    let mut call = task::spawn(service.call(asked()));
    assert_pending!(call.poll());
    let (first, reply) = called(&mut handle);
    assert_eq!(first.body().clone().is_replayable(), true);
    reply.send_error("reset");
    assert_pending!(call.poll());
    let (second, reply) = called(&mut handle);
    assert_eq!(first.uri(), second.uri());
    assert_eq!(first.headers(), second.headers());
    assert_eq!(text(first.into_body()), REWRITTEN);
    assert_eq!(text(second.into_body()), REWRITTEN);
    reply.send_response(ok("at last"));
    assert_eq!(text(assert_ready_ok!(call.poll()).into_body()), "at last");
}
