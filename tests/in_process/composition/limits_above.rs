//! Limits above the layer: they take in the upload, and so the memory that it costs.

use std::time::Duration;

use http::StatusCode;
use test_kit::{
    answer::own,
    body::{Scripted, script, text},
    mock::{assert_not_called, called, mock, ok, waits},
    request::{ASKED, chat},
    table::{in_flight, simple},
};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{Service, ServiceBuilder, limit::GlobalConcurrencyLimitLayer, timeout::error::Elapsed};
use tower_model_route::{AnswerErrorsLayer, ModelRouteLayer, RouteDecision};

const MILLIS: Duration = Duration::from_millis(1);

/// Whether the service takes another request, which is when a server reads one.
macro_rules! poll_ready {
    ($service:expr) => {
        task::spawn(std::future::poll_fn(|cx| {
            Service::<http::Request<Scripted>>::poll_ready(&mut $service, cx)
        }))
        .poll()
    };
}

#[tokio::test(start_paused = true)]
async fn timeout_bounds_upload_and_call_together() {
    let (mock, mut handle) = mock();
    let table = simple();
    let mut service = ServiceBuilder::new()
        .timeout(1000 * MILLIS)
        .layer(ModelRouteLayer::new(table.clone()))
        .service(mock);
    let (upload, body) = script();
    let mut call = task::spawn(service.call(chat(body)));
    waits(&mut call);
    advance(600 * MILLIS).await;
    upload.data(ASKED).end();
    waits(&mut call);
    let (_request, _never) = called(&mut handle);
    assert_eq!(in_flight(&table), 1);
    advance(399 * MILLIS).await;
    waits(&mut call);
    // tokio's timers fire within a millisecond after their time.
    advance(2 * MILLIS).await;
    let error = assert_ready!(call.poll()).map(drop).unwrap_err();
    assert!(error.is::<Elapsed>());
    drop(call);
    assert_eq!(in_flight(&table), 0);
}

#[tokio::test(start_paused = true)]
async fn timeout_ends_an_upload_and_is_answered_with_504() {
    let (mock, mut handle) = mock();
    let mut service = ServiceBuilder::new()
        .layer(AnswerErrorsLayer::new())
        .timeout(1000 * MILLIS)
        .layer(ModelRouteLayer::new(simple()))
        .service(mock);
    let (upload, body) = script();
    let mut call = task::spawn(service.call(chat(body)));
    waits(&mut call);
    advance(1001 * MILLIS).await;
    let response = assert_ready_ok!(call.poll());
    assert!(response.extensions().get::<RouteDecision>().is_none());
    let answer = own(response);
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer.code, "upstream_timeout");
    drop(call);
    assert!(upload.is_dropped());
    assert_not_called(&mut handle);
}

#[tokio::test(start_paused = true)]
async fn a_global_limit_bounds_the_uploads_of_all_services() {
    let (mock, mut handle) = mock();
    let layers = ServiceBuilder::new()
        .layer(GlobalConcurrencyLimitLayer::new(1))
        .layer(ModelRouteLayer::new(simple()));
    let mut one = layers.clone().service(mock.clone());
    let mut other = layers.service(mock);
    assert_ready_ok!(poll_ready!(one));
    let (upload, body) = script();
    let mut first = task::spawn(one.call(chat(body)));
    waits(&mut first);

    // Nothing of a second body is read while the first is coming in.
    assert_pending!(poll_ready!(other));
    upload.data(ASKED).end();
    waits(&mut first);
    assert_pending!(poll_ready!(other));
    called(&mut handle).1.send_response(ok("first"));
    assert_eq!(text(assert_ready_ok!(first.poll()).into_body()), "first");
    drop(first);
    assert_ready_ok!(poll_ready!(other));
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_each_layer_call_bounds_one_service() {
    let (mock, _handle) = mock();
    // tower makes a semaphore per service here: a limit on memory needs the global one.
    let layers = ServiceBuilder::new()
        .concurrency_limit(1)
        .layer(ModelRouteLayer::new(simple()));
    let mut one = layers.clone().service(mock.clone());
    let mut other = layers.service(mock);
    assert_ready_ok!(poll_ready!(one));
    let (_upload, body) = script();
    let mut first = task::spawn(one.call(chat(body)));
    waits(&mut first);
    assert_pending!(poll_ready!(one));
    assert_ready_ok!(poll_ready!(other));
}

#[tokio::test(start_paused = true)]
async fn load_shed_sheds_while_an_upload_takes_the_place() {
    let (mock, mut handle) = mock();
    let mut service = ServiceBuilder::new()
        .layer(AnswerErrorsLayer::new())
        .load_shed()
        .concurrency_limit(1)
        .layer(ModelRouteLayer::new(simple()))
        .service(mock);
    assert_ready_ok!(poll_ready!(service));
    let (first_upload, body) = script();
    let mut first = task::spawn(service.call(chat(body)));
    waits(&mut first);

    assert_ready_ok!(poll_ready!(service));
    let (second_upload, body) = script();
    let mut second = task::spawn(service.call(chat(body)));
    let shed = own(assert_ready_ok!(second.poll()));
    assert_eq!(shed.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(shed.code, "overloaded");
    assert_eq!(shed.headers["retry-after"], "1");
    assert_eq!(second_upload.polls(), 0);

    first_upload.data(ASKED).end();
    waits(&mut first);
    called(&mut handle).1.send_response(ok("first"));
    assert_eq!(text(assert_ready_ok!(first.poll()).into_body()), "first");
}
