//! When the inner service is asked, and what becomes of its errors.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use http::{Request, Response};
use test_kit::{
    body::{BoxError, Scripted, script, text},
    mock::{Mock, assert_not_called, called, mock, ok, waits},
    request::{asked, chat, chat_of},
    table::{in_flight, simple},
};
use tokio_test::{assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service};
use tower_model_route::{ModelRouteLayer, RouteBody};

/// Counts how often the mock is asked whether it is ready.
#[derive(Clone)]
struct Counted {
    inner: Mock,
    asked: Arc<AtomicUsize>,
}

impl Service<Request<RouteBody>> for Counted {
    type Response = Response<Scripted>;
    type Error = BoxError;
    type Future = <Mock as Service<Request<RouteBody>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<RouteBody>) -> Self::Future {
        self.inner.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_ready_whatever_the_inner_service_is() {
    let (mock, mut handle) = mock();
    handle.allow(0);
    let mut service = ModelRouteLayer::new(simple()).layer(mock);
    let mut poll_ready = || {
        task::spawn(std::future::poll_fn(|cx| {
            Service::<Request<Scripted>>::poll_ready(&mut service, cx)
        }))
        .poll()
    };
    for _ in 0..3 {
        assert_ready_ok!(poll_ready());
    }
    handle.send_error("broken");
    assert_ready_ok!(poll_ready());
}

#[tokio::test(start_paused = true)]
async fn the_inner_service_is_left_alone_until_the_model_is_known() {
    let (inner, mut handle) = mock();
    let counted = Counted {
        inner,
        asked: Arc::default(),
    };
    let times_asked = Arc::clone(&counted.asked);
    let mut service = ModelRouteLayer::new(simple()).layer(counted);
    let (upload, body) = script();
    let mut call = task::spawn(service.call(chat(body)));

    let (before, after) = (r#"{"messages":[],"model":"asked"#, r#""}"#);
    waits(&mut call);
    upload.data(&before[..10]);
    waits(&mut call);
    upload.data(&before[10..]);
    waits(&mut call);
    assert_eq!(times_asked.load(Ordering::Relaxed), 0);
    assert_not_called(&mut handle);

    upload.data(after).end();
    assert!(call.is_woken());
    waits(&mut call);
    assert_eq!(times_asked.load(Ordering::Relaxed), 1);
    let (request, reply) = called(&mut handle);
    assert_eq!(
        text(request.into_body()),
        r#"{"messages":[],"model":"real"}"#
    );
    reply.send_response(ok("answer"));
    assert_eq!(text(assert_ready_ok!(call.poll()).into_body()), "answer");
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_readiness_and_only_then_calls() {
    let (mock, mut handle) = mock();
    handle.allow(0);
    let mut service = ModelRouteLayer::new(simple()).layer(mock);
    let mut call = task::spawn(service.call(asked()));
    for _ in 0..3 {
        waits(&mut call);
        assert_not_called(&mut handle);
    }
    handle.allow(1);
    assert!(
        call.is_woken(),
        "the future was not registered for readiness"
    );
    waits(&mut call);
    let (_, reply) = called(&mut handle);
    reply.send_response(ok(""));
    assert!(call.is_woken());
    assert_ready_ok!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_never_reaches_the_inner_service() {
    let (mock, mut handle) = mock();
    handle.allow(0);
    let mut service = ModelRouteLayer::new(simple()).layer(mock);
    for body in ["", "[]", "{}", r#"{"model":"unknown"}"#] {
        let request = chat_of(body);
        let mut call = task::spawn(service.call(request));
        assert!(assert_ready_ok!(call.poll()).status().is_client_error());
    }
    assert_not_called(&mut handle);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_is_the_services_error() {
    let (mock, mut handle) = mock();
    let table = simple();
    let mut service = ModelRouteLayer::new(table.clone()).layer(mock);
    handle.allow(0);
    let mut call = task::spawn(service.call(asked()));
    waits(&mut call);
    assert_eq!(in_flight(&table), 1);
    handle.send_error("not ready, ever");
    let error = assert_ready!(call.poll()).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "not ready, ever");
    drop(call);
    assert_eq!(in_flight(&table), 0);
    assert_not_called(&mut handle);
}

/// A future that is ready may be kept for long by who polled it, as in a `join_all`.
#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_ends_the_request_though_its_future_lives() {
    let (mock, mut handle) = mock();
    let table = simple();
    let mut service = ModelRouteLayer::new(table.clone()).layer(mock);
    handle.send_error("not ready, ever");
    let mut call = task::spawn(service.call(asked()));
    assert_ready_err!(call.poll().map(|answer| answer.map(drop)));
    assert_eq!(in_flight(&table), 0);
    drop(call);
    assert_eq!(in_flight(&table), 0);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_call_is_the_services_error_and_ends_the_request() {
    let (mock, mut handle) = mock();
    let table = simple();
    let mut service = ModelRouteLayer::new(table.clone()).layer(mock);
    let mut call = task::spawn(service.call(asked()));
    waits(&mut call);
    let (_, reply) = called(&mut handle);
    assert_eq!(in_flight(&table), 1);
    reply.send_error("connection refused");
    let error = assert_ready!(call.poll()).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "connection refused");
    assert_eq!(in_flight(&table), 0);
    drop(call);
    assert_eq!(in_flight(&table), 0);
}
