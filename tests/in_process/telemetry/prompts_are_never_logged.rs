//! What a client sends stays with the client: nothing of it is logged but the model's name.

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, header::ETAG};
use http_body_util::{BodyExt, Full};
use test_kit::{
    body::{Scripted, script},
    mock::ok,
    table::simple,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_model_route::{AnswerErrorsLayer, ModelRouteLayer, RouteBody, WithoutModel};

use super::collect::collecting;

/// Stands wherever a client could put something private.
const SECRET: &str = "S3CR3T-PR0MPT";

fn request(body: Scripted) -> Request<Scripted> {
    Request::post(format!("/v1/chat/completions?key={SECRET}"))
        .header("authorization", format!("Bearer {SECRET}"))
        .header("user-type", SECRET)
        .header("x-prompt", SECRET)
        .extension(SECRET)
        .body(body)
        .unwrap()
}

/// Bodies that are routed, and bodies that are refused for every reason there is.
fn bodies() -> Vec<String> {
    let long_name = format!("{}{SECRET}", "m".repeat(256));
    [
        r#"{"model":"asked","messages":[{"role":"user","content":"S3CR3T-PR0MPT"}]}"#,
        r#"{"S3CR3T-PR0MPT":1,"model":"asked","prompt":"S3CR3T-PR0MPT"}"#,
        r#"{"prompt":"S3CR3T-PR0MPT"}"#,
        r#"{"model":["S3CR3T-PR0MPT"]}"#,
        r#"{"model":{"S3CR3T-PR0MPT":1}}"#,
        r#"{"model":null,"prompt":"S3CR3T-PR0MPT"}"#,
        r#"{"model":"","prompt":"S3CR3T-PR0MPT"}"#,
        r#"{"model":"\ud800","prompt":"S3CR3T-PR0MPT"}"#,
        r#"{"model":"asked","model":"S3CR3T-PR0MPT"}"#,
        r#"{"model":"other","prompt":"S3CR3T-PR0MPT"}"#,
        r#"{"model":"asked","prompt":S3CR3T-PR0MPT}"#,
        r#"{"model":"asked","prompt":"S3CR3T-PR0MPT"#,
        r#"{"model":"asked"} S3CR3T-PR0MPT"#,
        r#""S3CR3T-PR0MPT""#,
        r#"["S3CR3T-PR0MPT"]"#,
        "S3CR3T-PR0MPT",
    ]
    .into_iter()
    .map(str::to_owned)
    // A name is shown up to its 256th character, and no further.
    .chain([format!(r#"{{"model":"{long_name}"}}"#)])
    .collect()
}

#[test]
fn nothing_of_a_request_is_logged_or_told_back() {
    let (seen, _guard) = collecting();
    let engine = service_fn(async |request: Request<RouteBody>| {
        // A client logs the decision, and that must be safe too.
        let decision = request.body().decision();
        tracing::trace!(?decision, body = ?request.body(), "sending");
        if request.uri().path().ends_with("completions") {
            return Ok(ok(""));
        }
        Err(std::io::Error::other("refused"))
    });
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(simple()).max_body_bytes(1000))
        .layer(AnswerErrorsLayer::new())
        .service(engine);
    let mut answers = Vec::new();
    let mut ask = |request| {
        let call = service.call(request);
        tracing::trace!(?call, "called");
        let response = call.now_or_never().expect("nothing to wait for").unwrap();
        tracing::trace!(error = ?response.extensions().get::<tower_model_route::RouteError>());
        let body = response.into_body().collect().now_or_never().unwrap();
        answers.push(String::from_utf8_lossy(&body.unwrap().to_bytes()).into_owned());
    };
    for body in bodies() {
        let (upload, scripted) = script();
        let trailers = HeaderMap::from_iter([(ETAG, HeaderValue::from_static(SECRET))]);
        upload.data(body.clone()).trailers(trailers).end();
        ask(request(scripted));

        // The same, of a size, an encoding and a place that it must not have.
        let (upload, scripted) = script();
        upload.data(body.clone()).data(SECRET.repeat(100)).end();
        ask(request(scripted));
        let (upload, scripted) = script();
        upload.data(body.clone()).end();
        let mut encoded = request(scripted);
        let encoding = HeaderValue::from_static(SECRET);
        encoded.headers_mut().insert("content-encoding", encoding);
        ask(encoded);
        let (upload, scripted) = script();
        upload.data(body).end();
        let mut elsewhere = request(scripted);
        *elsewhere.uri_mut() = format!("/v1/messages?{SECRET}").parse().unwrap();
        ask(elsewhere);
    }
    let spans = seen.spans();
    let events = seen.events();
    assert_eq!(spans.len(), answers.len());
    assert!(events.len() > answers.len(), "the events are seen");
    let logged = spans
        .iter()
        .map(|span| &span.fields)
        .chain(events.iter().map(|event| &event.fields));
    for (name, value) in logged.flat_map(|fields| fields.all()) {
        assert!(!value.contains(SECRET), "{name}: {value}");
        assert!(value.len() < 700, "{name} has {} bytes", value.len());
    }
    for answer in answers {
        assert!(!answer.contains(SECRET), "{answer}");
    }
}

#[test]
fn a_forwarded_request_is_not_logged_either() {
    let (seen, _guard) = collecting();
    let service = ModelRouteLayer::new(simple())
        .without_model(WithoutModel::Forward)
        .layer(service_fn(async |_: Request<RouteBody>| {
            Ok::<_, std::convert::Infallible>(ok(SECRET))
        }));
    let request = Request::get(format!("/page?{SECRET}"))
        .header("authorization", SECRET)
        .body(Full::<Bytes>::from(SECRET))
        .unwrap();
    service.oneshot(request).now_or_never().unwrap().unwrap();
    assert_eq!(seen.spans().len(), 1);
    assert!(!format!("{:?}{:?}", seen.spans(), seen.events()).contains(SECRET));
}
