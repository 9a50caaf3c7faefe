//! `AnswerErrorsLayer` by itself, as a service among others.

use std::{error::Error, io, task::Poll};

use http::{Request, StatusCode};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, load_shed::error::Overloaded, timeout::error::Elapsed};
use tower_model_route::{AnswerErrors, AnswerErrorsLayer, RouteBody, RouteError, RouteErrorKind};

use crate::support::{BoxError, Mock, assert_not_called, called, mock, ok, own, text};

fn request(path: &str) -> Request<RouteBody> {
    Request::post(path).body(RouteBody::default()).unwrap()
}

fn poll_ready(service: &mut AnswerErrors<Mock>) -> Poll<Result<(), std::convert::Infallible>> {
    task::spawn(std::future::poll_fn(|cx| service.poll_ready(cx))).poll()
}

#[test]
fn what_succeeds_goes_through() {
    let (mock, mut handle) = mock();
    let mut service = AnswerErrorsLayer::new().layer(mock);
    handle.allow(0);
    assert_pending!(poll_ready(&mut service));
    handle.allow(1);
    assert_ready_ok!(poll_ready(&mut service));
    let mut call = task::spawn(service.call(request("/")));
    assert_pending!(call.poll());
    called(&mut handle).1.send_response(ok("answer"));
    assert_eq!(text(assert_ready_ok!(call.poll()).into_body()), "answer");
}

#[test]
fn each_error_has_its_answer_and_stays_its_source() {
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    let cases: [(BoxError, RouteErrorKind); 5] = [
        (Box::new(Elapsed::new()), RouteErrorKind::UpstreamTimeout),
        (
            Box::new(io::Error::other(Elapsed::new())),
            RouteErrorKind::UpstreamTimeout,
        ),
        (Box::new(Overloaded::new()), RouteErrorKind::Overloaded),
        (Box::new(refused()), RouteErrorKind::UpstreamUnreachable),
        ("anything else".into(), RouteErrorKind::UpstreamUnreachable),
    ];
    for (error, kind) in cases {
        let told = error.to_string();
        let (mock, mut handle) = mock();
        let mut service = AnswerErrorsLayer::new().layer(mock);
        assert_ready_ok!(poll_ready(&mut service));
        let mut call = task::spawn(service.call(request("/v1/completions")));
        assert_pending!(call.poll());
        called(&mut handle).1.send_error(error);
        let answer = own(assert_ready_ok!(call.poll()));
        assert_eq!(answer.error.kind(), kind);
        assert_eq!(answer.code, kind.code());
        assert_eq!(answer.error.source().unwrap().to_string(), told);
    }
}

/// One that says itself what it means keeps its word.
#[test]
fn an_error_of_ours_stays_what_it_is() {
    let (mock, mut handle) = mock();
    let mut service = AnswerErrorsLayer::new().layer(mock);
    assert_ready_ok!(poll_ready(&mut service));
    let mut call = task::spawn(service.call(request("/")));
    assert_pending!(call.poll());
    let error = RouteError::new(RouteErrorKind::NoEndpoint, "all engines are being updated");
    called(&mut handle).1.send_error(error);
    let answer = own(assert_ready_ok!(call.poll()));
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers["retry-after"], "5");
    assert_eq!(answer.error.message(), "all engines are being updated");
}

#[test]
fn on_messages_the_answer_has_anthropics_shape() {
    let (mock, mut handle) = mock();
    let mut service = AnswerErrorsLayer::new().layer(mock);
    assert_ready_ok!(poll_ready(&mut service));
    // With an endpoint's prefix, as it stands below the ModelRouteLayer.
    let mut call = task::spawn(service.call(request("http://engine/prefix/v1/messages")));
    assert_pending!(call.poll());
    called(&mut handle).1.send_error(Overloaded::new());
    let response = assert_ready_ok!(call.poll());
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body: serde_json::Value = serde_json::from_str(&text(response.into_body())).unwrap();
    assert_eq!(body["type"], "error");
    assert_eq!(body["error"]["type"], "overloaded_error");
}

#[test]
fn an_error_of_readiness_answers_one_request_and_no_more() {
    let (mock, mut handle) = mock();
    let mut service = AnswerErrorsLayer::new().layer(mock);
    handle.send_error("no connection left");
    assert_ready_ok!(poll_ready(&mut service));
    let mut call = task::spawn(service.call(request("/")));
    assert_eq!(
        own(assert_ready_ok!(call.poll())).code,
        "upstream_unreachable"
    );
    assert_not_called(&mut handle);

    assert_ready_ok!(poll_ready(&mut service));
    let mut call = task::spawn(service.call(request("/")));
    assert_pending!(call.poll());
    called(&mut handle).1.send_response(ok("served"));
    assert_eq!(text(assert_ready_ok!(call.poll()).into_body()), "served");
}
