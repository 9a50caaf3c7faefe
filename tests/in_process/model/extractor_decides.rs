//! An `ExtractModel` of one's own.

use std::ops::Range;

use bytes::Bytes;
use http::{Request, StatusCode, request::Parts};
use http_body_util::{Empty, Full};
use test_kit::{
    answer::own,
    body::text,
    mock::{assert_not_called, called, mock, waits},
    request::chat_of,
    table::{in_flight, simple},
};
use tokio_test::{assert_ready_ok, task};
use tower::{Layer, Service};
use tower_model_route::{
    ExtractModel, ExtractedModel, Extraction, ModelRouteLayer, RouteError, RouteErrorKind,
};

/// The model stands in a header, for every method.
#[derive(Debug)]
struct FromHeader;

impl ExtractModel for FromHeader {
    fn begin(&self, head: &Parts) -> Extraction {
        match head.headers.get("x-model").map(|model| model.to_str()) {
            None => Extraction::none(),
            Some(Ok("")) => Extraction::refused(RouteError::new(
                RouteErrorKind::InvalidModel,
                "the header x-model is empty",
            )),
            Some(Ok(model)) => Extraction::found(ExtractedModel::new(model)),
            Some(Err(_)) => unreachable!("the tests send text"),
        }
    }
}

/// Says that the model stands at this place of the body, whatever is there.
#[derive(Debug)]
struct At(Range<usize>);

impl ExtractModel for At {
    fn begin(&self, _head: &Parts) -> Extraction {
        let span = self.0.clone();
        Extraction::whole_body(move |_, _| Ok(ExtractedModel::new("asked").json_span(span)))
    }
}

fn with_header(request: http::request::Builder, model: &str) -> Request<Full<Bytes>> {
    request
        .header("x-model", model)
        .body(Full::from("not JSON"))
        .unwrap()
}

#[test]
fn a_header_decides_and_the_body_stays_as_it_is() {
    let (mock, mut handle) = mock();
    let layer = ModelRouteLayer::new(simple()).extract_model(FromHeader);
    let mut service = layer.layer(mock);
    let mut call =
        task::spawn(service.call(with_header(Request::post("/v1/completions"), "asked")));
    waits(&mut call);
    let (request, _reply) = called(&mut handle);
    assert_eq!(request.headers()["content-length"], "8");
    let decision = request.body().decision().unwrap();
    assert_eq!(decision.requested_model(), "asked");
    assert_eq!(text(request.into_body()), "not JSON");
}

#[test]
fn its_errors_are_the_clients_answer() {
    let (mock, mut handle) = mock();
    let layer = ModelRouteLayer::new(simple()).extract_model(FromHeader);
    let mut service = layer.layer(mock);
    let mut call = task::spawn(service.call(with_header(Request::post("/v1/completions"), "")));
    let refused = own(assert_ready_ok!(call.poll()));
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(refused.code, "invalid_model");
    assert_eq!(refused.error.message(), "the header x-model is empty");

    // Without the header the request names no model, whatever its method.
    let mut call = task::spawn(service.call(chat_of("{}")));
    assert_eq!(own(assert_ready_ok!(call.poll())).code, "route_not_found");
    assert_not_called(&mut handle);
}

#[test]
fn a_get_that_names_a_model_is_routed() {
    let (mock, mut handle) = mock();
    let layer = ModelRouteLayer::new(simple()).extract_model(FromHeader);
    let request = Request::get("/v1/realtime")
        .header("x-model", "asked")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let mut service = layer.layer(mock);
    let mut call = task::spawn(service.call(request));
    waits(&mut call);
    let (request, _reply) = called(&mut handle);
    assert_eq!(request.uri(), "http://engine:8000/v1/realtime");
    assert!(request.body().decision().is_some());
}

#[test]
fn a_place_outside_the_body_is_a_500_and_nothing_is_sent() {
    const BODY: &str = r#"{"model":"asked"}"#;
    let backwards = Range { start: 9, end: 8 };
    for span in [
        0..BODY.len() + 1,
        100..101,
        usize::MAX - 1..usize::MAX,
        backwards,
    ] {
        let (mock, mut handle) = mock();
        let table = simple();
        let layer = ModelRouteLayer::new(table.clone()).extract_model(At(span.clone()));
        let mut service = layer.layer(mock);
        let mut call = task::spawn(service.call(chat_of(BODY)));
        let refused = own(assert_ready_ok!(call.poll()));
        assert_eq!(
            refused.status,
            StatusCode::INTERNAL_SERVER_ERROR,
            "{span:?}"
        );
        assert_eq!(refused.code, "extractor_error");
        assert_not_called(&mut handle);
        assert_eq!(in_flight(&table), 0);
    }
}

#[test]
fn a_place_within_the_body_is_what_is_replaced() {
    let (mock, mut handle) = mock();
    let layer = ModelRouteLayer::new(simple()).extract_model(At(3..10));
    let mut service = layer.layer(mock);
    let mut call = task::spawn(service.call(chat_of("m, 'asked' and more")));
    waits(&mut call);
    let (request, _reply) = called(&mut handle);
    assert_eq!(text(request.into_body()), r#"m, "real" and more"#);
}
