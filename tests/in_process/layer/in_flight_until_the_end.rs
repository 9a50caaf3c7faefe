//! A request is in flight from the decision until the answer's body has ended.

use std::{convert::Infallible, pin::pin, sync::Arc};

use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Response, header::ETAG};
use http_body::Body;
use http_body_util::BodyExt;
use test_kit::{
    body::{Script, Scripted, script},
    mock::{Handle, Mock, assert_not_called, called, mock, waits},
    request::{ASKED, asked, chat},
    table::{ENDPOINT, in_flight, simple},
};
use tokio_test::{assert_ready_ok, task};
use tower::{Layer, Service, service_fn};
use tower_model_route::{
    ModelRoute, ModelRouteLayer, ModelRouteService, ModelServer, ResponseBody, RouteDecision,
    RouteTable, Rule,
};

type Gateway = ModelRouteService<Mock>;

fn gateway() -> (Gateway, Handle, RouteTable) {
    let (mock, handle) = mock();
    let table = simple();
    let service = ModelRouteLayer::new(table.clone()).layer(mock);
    (service, handle, table)
}

/// A request that has got the head of its answer.
fn answered() -> (RouteTable, Script, Response<ResponseBody<Scripted>>) {
    let (mut service, mut handle, table) = gateway();
    let mut call = task::spawn(service.call(asked()));
    waits(&mut call);
    let (answer, body) = script();
    called(&mut handle).1.send_response(Response::new(body));
    let response = assert_ready_ok!(call.poll());
    (table, answer, response)
}

fn next_is_data(body: &mut ResponseBody<Scripted>) -> bool {
    let frame = body.frame().now_or_never().expect("there is a frame");
    frame.is_some_and(|frame| frame.is_ok_and(|frame| frame.is_data()))
}

#[tokio::test(start_paused = true)]
async fn it_counts_from_the_decision_on() {
    let (mut service, mut handle, table) = gateway();
    handle.allow(0);
    let (upload, body) = script();
    let mut call = task::spawn(service.call(chat(body)));
    waits(&mut call);
    assert_eq!(in_flight(&table), 0, "while the body comes in");
    upload.data(ASKED).end();
    waits(&mut call);
    assert_eq!(in_flight(&table), 1, "while it waits for readiness");
    handle.allow(1);
    waits(&mut call);
    assert_eq!(in_flight(&table), 1, "while it is called");
    let server = &table.servers()[0];
    assert_eq!((server.name(), server.in_flight()), ("server", 1));
    let endpoint = &server.endpoints()[0];
    assert_eq!((endpoint.uri(), endpoint.in_flight()), (ENDPOINT, 1));

    // Its client goes away.
    drop(call);
    assert_eq!(in_flight(&table), 0);
}

#[tokio::test(start_paused = true)]
async fn it_counts_until_the_end_of_the_body() {
    let (table, answer, response) = answered();
    let mut body = response.into_body();
    assert!(body.frame().now_or_never().is_none());
    answer.data("token");
    assert!(next_is_data(&mut body));
    assert_eq!(
        in_flight(&table),
        1,
        "the head and the first token are not the end"
    );
    answer.data("token");
    assert!(next_is_data(&mut body));
    assert_eq!(in_flight(&table), 1);
    answer.end();
    assert!(body.frame().now_or_never().unwrap().is_none());
    assert_eq!(in_flight(&table), 0, "though the body is still there");
}

#[test]
fn the_last_frame_ends_it_where_the_body_knows_its_end() {
    let (table, answer, response) = answered();
    answer.data("half").data("half").end_known();
    let mut body = response.into_body();
    assert!(next_is_data(&mut body));
    assert_eq!(in_flight(&table), 1);
    assert!(!body.is_end_stream());
    assert!(next_is_data(&mut body));
    assert!(body.is_end_stream());
    assert_eq!(
        in_flight(&table),
        0,
        "a server need not ask for a frame after the last"
    );
}

#[test]
fn trailers_are_part_of_the_body() {
    let (table, answer, response) = answered();
    let trailers = HeaderMap::from_iter([(ETAG, HeaderValue::from_static("x"))]);
    answer.data("all").trailers(trailers.clone()).end();
    let mut body = response.into_body();
    assert!(next_is_data(&mut body));
    assert_eq!(in_flight(&table), 1);
    let frame = body.frame().now_or_never().unwrap().unwrap().unwrap();
    assert_eq!(frame.trailers_ref(), Some(&trailers));
    assert!(body.frame().now_or_never().unwrap().is_none());
    assert_eq!(in_flight(&table), 0);
}

#[test]
fn an_error_in_the_body_ends_it() {
    let (table, answer, response) = answered();
    answer.data("half").fail("the engine broke off");
    let mut body = response.into_body();
    assert!(next_is_data(&mut body));
    // First the server has a turn to send what came before.
    assert!(body.frame().now_or_never().is_none());
    let error = body.frame().now_or_never().unwrap().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the engine broke off");
    assert_eq!(in_flight(&table), 0);
}

#[test]
fn dropping_the_body_ends_it_and_drops_the_engines() {
    let (table, answer, response) = answered();
    answer.data("token");
    let mut body = response.into_body();
    assert!(next_is_data(&mut body));
    drop(body);
    assert!(answer.is_dropped());
    assert_eq!(in_flight(&table), 0);
}

#[test]
fn an_empty_answer_is_at_its_end_with_the_head() {
    let (mut service, mut handle, table) = gateway();
    let mut call = task::spawn(service.call(asked()));
    waits(&mut call);
    let (answer, body) = script();
    answer.end_known();
    called(&mut handle).1.send_response(Response::new(body));
    let _response = assert_ready_ok!(call.poll());
    assert_eq!(in_flight(&table), 0);
}

/// Where the server above is not hyper, a layer above carries the session on.
#[test]
fn an_answer_that_switches_protocols_is_not_at_its_end() {
    let (mut service, mut handle, table) = gateway();
    let request = http::Request::get("/v1/realtime?model=asked")
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    let mut call = task::spawn(
        service.call(
            request
                .body(http_body_util::Empty::<bytes::Bytes>::new())
                .unwrap(),
        ),
    );
    waits(&mut call);
    let (answer, body) = script();
    answer.end_known();
    let response = Response::builder()
        .status(101)
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    let response = response.body(body).unwrap();
    called(&mut handle).1.send_response(response);
    let response = assert_ready_ok!(call.poll());
    assert_eq!(response.status(), 101);
    drop(call);
    assert_eq!(in_flight(&table), 1);
    drop(response);
    assert_eq!(in_flight(&table), 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_ends_the_upload() {
    let (mut service, mut handle, table) = gateway();
    let (upload, body) = script();
    let never_polled = service.call(chat(body));
    drop(never_polled);
    assert!(upload.is_dropped());

    let (upload, body) = script();
    let mut call = task::spawn(service.call(chat(body)));
    upload.data(&ASKED[..3]);
    waits(&mut call);
    assert!(!upload.is_dropped());
    drop(call);
    assert!(upload.is_dropped());
    assert_eq!(in_flight(&table), 0);
    assert_not_called(&mut handle);
}

#[test]
fn dropping_the_future_drops_the_call_below() {
    struct Guard(Arc<()>);
    let alive = Arc::new(());
    let calls = alive.clone();
    let table = simple();
    let mut service = ModelRouteLayer::new(table.clone()).layer(service_fn(move |_| {
        let guard = Guard(calls.clone());
        async move {
            let _guard = &guard.0;
            std::future::pending::<Result<Response<Scripted>, Infallible>>().await
        }
    }));
    {
        let mut call = pin!(service.call(asked()));
        assert!(call.as_mut().now_or_never().is_none());
        assert_eq!(in_flight(&table), 1);
        assert_eq!(Arc::strong_count(&alive), 3, "the call is running");
    }
    assert_eq!(Arc::strong_count(&alive), 2, "the call was dropped");
    assert_eq!(in_flight(&table), 0);
}

/// The counts steer the choice: what is still streaming weighs on its endpoint.
#[test]
fn the_least_loaded_endpoint_gets_the_next() {
    let table = RouteTable::builder()
        .model_server(ModelServer::new("server").endpoints(["http://a", "http://b", "http://c"]))
        .model_route(
            ModelRoute::new("route")
                .model_name("asked")
                .rule(Rule::new("rule").target("server")),
        )
        .build()
        .unwrap();
    let (mock, mut handle) = mock();
    let mut service = ModelRouteLayer::new(table.clone()).layer(mock);
    let loads = |table: &RouteTable| -> Vec<_> {
        let servers = table.servers();
        servers[0]
            .endpoints()
            .iter()
            .map(|e| e.in_flight())
            .collect()
    };
    let mut streaming = Vec::new();
    for _ in 0..6 {
        let mut call = task::spawn(service.call(asked()));
        waits(&mut call);
        let (answer, body) = script();
        called(&mut handle).1.send_response(Response::new(body));
        streaming.push((assert_ready_ok!(call.poll()), answer));
    }
    assert_eq!(loads(&table), [2, 2, 2]);
    // Two streams of one endpoint end: it gets the next two.
    let of_b = |response: &Response<ResponseBody<Scripted>>| {
        let decision = response.extensions().get::<RouteDecision>();
        decision.unwrap().endpoint() == "http://b"
    };
    streaming.retain(|(response, _)| !of_b(response));
    assert_eq!(loads(&table), [2, 0, 2]);
    for expected in [[2, 1, 2], [2, 2, 2]] {
        let mut call = task::spawn(service.call(asked()));
        waits(&mut call);
        assert_eq!(loads(&table), expected);
        let (answer, body) = script();
        called(&mut handle).1.send_response(Response::new(body));
        streaming.push((assert_ready_ok!(call.poll()), answer));
    }
}
