//! Requests that name no model: rejected, or forwarded without the fields of the connections.

use std::error::Error;

use futures_util::FutureExt;
use http::{HeaderName, Method, Request, Response, StatusCode, Version};
use http_body::{Body, SizeHint};
use http_body_util::{BodyExt, Empty};
use test_kit::{
    answer::own,
    body::{BoxError, Scripted, read_on, script},
    mock::{assert_not_called, called, mock, ok, waits},
    table::{in_flight, simple},
};
use tokio_test::{assert_ready_ok, task};
use tower::{Layer, Service};
use tower_model_route::{
    ModelRouteLayer, RouteDecision, RouteError, RouteErrorKind, Via, WithoutModel,
};

fn request(method: Method, body: Scripted) -> Request<Scripted> {
    Request::builder()
        .method(method)
        .uri("/tokenize?model=asked")
        .version(Version::HTTP_2)
        .header("host", "gateway")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .body(body)
        .unwrap()
}

#[test]
fn by_default_they_are_rejected_and_their_body_is_not_read() {
    for method in [
        Method::GET,
        Method::OPTIONS,
        Method::DELETE,
        Method::TRACE,
        Method::CONNECT,
    ] {
        let (mock, mut handle) = mock();
        let (upload, body) = script();
        let mut service = ModelRouteLayer::new(simple()).drain_bytes(0).layer(mock);
        let mut call = task::spawn(service.call(request(method, body)));
        let refused = own(assert_ready_ok!(call.poll()));
        assert_eq!(refused.status, StatusCode::NOT_FOUND);
        assert_eq!(refused.code, "route_not_found");
        assert_eq!(upload.polls(), 0);
        assert_not_called(&mut handle);
    }
}

#[test]
fn forwarded_they_stream_through() {
    let (mock, mut handle) = mock();
    let table = simple();
    let layer = ModelRouteLayer::new(table.clone())
        .without_model(WithoutModel::Forward)
        .via(Via::named("gw").unwrap())
        // Limits are for what is buffered.
        .max_body_bytes(1);
    let (upload, body) = script();
    upload.hint(SizeHint::with_exact(12));
    let mut service = layer.layer(mock);
    let mut call = task::spawn(service.call(request(Method::DELETE, body)));
    waits(&mut call);
    assert_eq!(upload.polls(), 0);

    let (forwarded, reply) = called(&mut handle);
    assert_eq!(forwarded.method(), Method::DELETE);
    assert_eq!(forwarded.uri(), "/tokenize?model=asked");
    assert_eq!(forwarded.version(), Version::HTTP_11);
    let mut names: Vec<_> = forwarded.headers().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "host", "via", "x-request-id"]);
    assert_eq!(forwarded.headers()["via"], "2 gw");
    assert!(forwarded.body().decision().is_none());
    assert!(forwarded.body().is_replayable());
    assert_eq!(forwarded.body().size_hint().exact(), Some(12));

    // Frame by frame: the engine sees the first before the client sends the second.
    let mut sent = forwarded.into_body();
    assert!(sent.frame().now_or_never().is_none());
    for part in ["first ", "second"] {
        assert!(!sent.is_end_stream());
        upload.data(part);
        let frame = sent.frame().now_or_never().unwrap().unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), part);
    }
    // The client has said so: it was the last.
    assert!(sent.is_end_stream());
    upload.end_known();
    assert!(sent.frame().now_or_never().unwrap().is_none());

    let (answer, body) = script();
    let mut response = Response::new(body);
    *response.version_mut() = Version::HTTP_10;
    response
        .headers_mut()
        .insert("connection", "close".parse().unwrap());
    reply.send_response(response);
    let response = assert_ready_ok!(call.poll());
    assert!(response.extensions().get::<RouteDecision>().is_none());
    assert_eq!(response.version(), Version::HTTP_11);
    assert!(!response.headers().contains_key("connection"));
    assert_eq!(response.headers()["via"], "1.0 gw");
    let mut body = response.into_body();
    answer.data("token");
    assert!(body.frame().now_or_never().is_some());
    assert_eq!(in_flight(&table), 0, "it was not routed");
}

#[test]
fn forwarded_bodies_keep_their_errors() {
    let (mock, mut handle) = mock();
    let layer = ModelRouteLayer::new(simple()).without_model(WithoutModel::Forward);
    let (upload, body) = script();
    let mut service = layer.layer(mock);
    let mut call = task::spawn(service.call(request(Method::GET, body)));
    waits(&mut call);
    let (forwarded, _reply) = called(&mut handle);
    upload.fail("the client broke off");
    let mut sent = forwarded.into_body();
    let error: BoxError = sent.frame().now_or_never().unwrap().unwrap().unwrap_err();
    let error: Box<RouteError> = error.downcast().unwrap();
    assert_eq!(error.kind(), RouteErrorKind::InvalidBody);
    assert_eq!(error.source().unwrap().to_string(), "the client broke off");
    drop(sent);
    assert!(upload.is_dropped());
}

#[test]
fn forwarded_they_are_replayable_if_they_are_small() {
    for (length, stays) in [(1 << 20, true), ((1 << 20) + 1, false)] {
        let (mock, mut handle) = mock();
        let layer = ModelRouteLayer::new(simple()).without_model(WithoutModel::Forward);
        let (upload, body) = script();
        upload.hint(SizeHint::with_exact(length));
        let mut service = layer.layer(mock);
        let mut call = task::spawn(service.call(request(Method::GET, body)));
        waits(&mut call);
        let (forwarded, _reply) = called(&mut handle);
        let mut sent = forwarded.into_body();
        let copy = sent.clone();
        assert!(copy.is_replayable(), "nothing of {length} was sent");
        assert!(sent.frame().now_or_never().is_none());
        assert_eq!(copy.is_replayable(), stays, "{length}");
    }
}

#[test]
fn forwarded_they_wait_for_readiness_too() {
    let (mock, mut handle) = mock();
    handle.allow(0);
    let layer = ModelRouteLayer::new(simple()).without_model(WithoutModel::Forward);
    let mut service = layer.layer(mock);
    let get = || {
        Request::get("/health")
            .body(Empty::<bytes::Bytes>::new())
            .unwrap()
    };
    let mut call = task::spawn(service.call(get()));
    waits(&mut call);
    assert_not_called(&mut handle);
    handle.allow(1);
    assert!(call.is_woken());
    waits(&mut call);
    called(&mut handle).1.send_error("refused");
    let error = tokio_test::assert_ready!(call.poll())
        .map(drop)
        .unwrap_err();
    assert_eq!(error.to_string(), "refused");
}

#[test]
fn posts_are_routed_all_the_same() {
    let (mock, mut handle) = mock();
    let layer = ModelRouteLayer::new(simple()).without_model(WithoutModel::Forward);
    let mut service = layer.layer(mock);
    let (upload, body) = script();
    upload.data("{}").end();
    let mut call = task::spawn(service.call(request(Method::POST, body)));
    assert_eq!(own(assert_ready_ok!(call.poll())).code, "missing_model");
    assert_not_called(&mut handle);
}

/// As with a routed request: many clients read the answer only once they have sent everything.
#[tokio::test(start_paused = true)]
async fn an_early_answer_to_a_forwarded_upload_waits_for_its_end() {
    let (mock, mut handle) = mock();
    let layer = ModelRouteLayer::new(simple()).without_model(WithoutModel::Forward);
    let (upload, body) = script();
    let mut service = layer.layer(mock);
    let mut call = task::spawn(service.call(request(Method::DELETE, body)));
    waits(&mut call);
    let (forwarded, reply) = called(&mut handle);
    reply.send_response(ok("no"));
    drop(forwarded);
    let mut answer = assert_ready_ok!(call.poll()).into_body();
    let (begin, end) = read_on(&mut answer);
    assert!(begin == b"n" && end.is_none());
    upload.data("the rest").end();
    let (rest, end) = read_on(&mut answer);
    assert!(rest == b"o" && end.unwrap().is_ok());
}

/// The request allows no other, and would lose the name of one that stays on its answer.
#[tokio::test]
async fn a_coding_that_was_not_asked_for_is_no_answer() {
    let (mock, mut handle) = mock();
    let layer = ModelRouteLayer::new(simple()).without_model(WithoutModel::Forward);
    let mut service = layer.layer(mock);
    let (upload, body) = script();
    upload.end();
    let mut call = task::spawn(service.call(request(Method::GET, body)));
    waits(&mut call);
    let mut answer = ok("coded");
    let coding = "gzip, chunked".parse().unwrap();
    answer.headers_mut().insert("transfer-encoding", coding);
    called(&mut handle).1.send_response(answer);
    let refused = own(assert_ready_ok!(call.poll()));
    assert_eq!(refused.code, "upstream_unreachable");
}
