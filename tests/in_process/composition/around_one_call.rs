//! What stands below the layer and deals with one call: timeouts, queues, rates and retries.

use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use test_kit::{
    answer::own,
    body::{BoxError, Scripted, script, text},
    mock::{called, mock, ok, waits},
    paused::within,
    request::{ASKED, REWRITTEN, asked, chat},
    table::{in_flight, simple},
};
use tokio::time::advance;
use tokio_test::{assert_ready, assert_ready_ok, task};
use tower::{Service, ServiceBuilder, retry::Policy, timeout::error::Elapsed};
use tower_model_route::{AnswerErrorsLayer, ModelRouteLayer, RouteBody};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn timeout_counts_the_call_alone_and_answers_504() {
    let (mock, mut handle) = mock();
    let table = simple();
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table.clone()))
        .layer(AnswerErrorsLayer::new())
        .timeout(SECOND)
        .service(mock);
    let (upload, body) = script();
    let mut call = task::spawn(service.call(chat(body)));
    waits(&mut call);
    advance(30 * SECOND).await;
    upload.data(ASKED).end();
    waits(&mut call);
    called(&mut handle);

    let mut late = task::spawn(service.call(asked()));
    waits(&mut late);
    let (_request, _never) = called(&mut handle);
    advance(SECOND - Duration::from_millis(1)).await;
    waits(&mut late);
    // tokio's timers fire within a millisecond after their time.
    advance(Duration::from_millis(2)).await;
    let answer = own(assert_ready_ok!(late.poll()));
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer.code, "upstream_timeout");
    drop(call);
    assert_eq!(in_flight(&table), 0);
}

#[tokio::test(start_paused = true)]
async fn timeout_ends_with_the_head_of_the_answer() {
    let (mock, mut handle) = mock();
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(simple()))
        .timeout(SECOND)
        .service(mock);
    let mut call = task::spawn(service.call(asked()));
    waits(&mut call);
    let (answer, body) = script();
    called(&mut handle).1.send_response(Response::new(body));
    let mut body = assert_ready_ok!(call.poll()).into_body();
    // A token stream lasts minutes.
    for _ in 0..5 {
        advance(60 * SECOND).await;
        answer.data("token");
        let frame = task::spawn(body.frame()).poll();
        assert_ready_ok!(frame.map(|frame| frame.unwrap()));
    }
}

#[tokio::test(start_paused = true)]
async fn timeout_without_answers_is_the_services_error() {
    let (mock, mut handle) = mock();
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(simple()))
        .timeout(SECOND)
        .service(mock);
    let mut call = task::spawn(service.call(asked()));
    waits(&mut call);
    let (_request, _never) = called(&mut handle);
    advance(SECOND + Duration::from_millis(1)).await;
    let error = assert_ready!(call.poll()).map(drop).unwrap_err();
    assert!(error.is::<Elapsed>());
}

#[tokio::test(start_paused = true)]
async fn buffer_gets_no_request_before_its_body_is_in() {
    let (mock, mut handle) = mock();
    // One slot: an upload that held it would stop all others.
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(simple()))
        .layer(AnswerErrorsLayer::new())
        .buffer(1)
        .service(mock);
    let (upload, body) = script();
    let mut slow = task::spawn(service.call(chat(body)));
    waits(&mut slow);
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
        .layer(ModelRouteLayer::new(simple()))
        .layer(AnswerErrorsLayer::new())
        // A rate limit can't be cloned; a buffer shares the one.
        .buffer(8)
        .rate_limit(1, SECOND)
        .service(mock);
    let start = tokio::time::Instant::now();
    let calls: Vec<_> = (0..3)
        .map(|_| tokio::spawn(service.call(asked())))
        .collect();
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
        (result.is_err() && std::mem::replace(&mut self.0, false)).then(|| std::future::ready(()))
    }

    fn clone_request(&mut self, request: &Request<RouteBody>) -> Option<Request<RouteBody>> {
        request.body().is_replayable().then(|| request.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn retry_sends_the_same_request_again() {
    let (mock, mut handle) = mock();
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(simple()))
        .layer(AnswerErrorsLayer::new())
        .retry(Once(true))
        .service(mock);
    let mut call = task::spawn(service.call(asked()));
    waits(&mut call);
    let (first, reply) = called(&mut handle);
    reply.send_error("reset");
    waits(&mut call);
    let (second, reply) = called(&mut handle);
    assert_eq!(first.uri(), second.uri());
    assert_eq!(first.headers(), second.headers());
    assert_eq!(text(first.into_body()), REWRITTEN);
    assert_eq!(text(second.into_body()), REWRITTEN);
    reply.send_response(ok("at last"));
    assert_eq!(text(assert_ready_ok!(call.poll()).into_body()), "at last");
}
