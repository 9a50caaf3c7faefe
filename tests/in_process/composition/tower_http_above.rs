//! tower-http's layers above the layer: they compose, and the answer is the right one.

use std::{convert::Infallible, future::Future, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderName, Request, Response, StatusCode, header};
use http_body_util::Full;
use test_kit::{
    answer::own,
    body::{script, text},
    paused::within,
    request::{ASKED, asked, chat},
    table::simple,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_http::{
    ServiceBuilderExt, compression::CompressionLayer, cors::CorsLayer,
    decompression::DecompressionLayer, limit::RequestBodyLimitLayer,
    map_response_body::MapResponseBodyLayer, request_id::MakeRequestUuid, timeout::TimeoutLayer,
    trace::TraceLayer,
};
use tower_model_route::{AnswerErrorsLayer, ModelRouteLayer, RouteBody, RouteDecision};

/// An engine that answers with a UUID that it was given as the request's id, or with a long text.
fn engine()
-> impl Service<Request<RouteBody>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    service_fn(async |request: Request<RouteBody>| {
        let answer = match request.headers().get("x-request-id") {
            Some(id) if id.len() == 36 => Bytes::copy_from_slice(id.as_bytes()),
            _ => Bytes::from_static(LONG.as_bytes()),
        };
        Ok(Response::new(Full::from(answer)))
    })
}

/// Long enough to be worth a compression.
const LONG: &str = "This is simulated message from real! This is simulated message from real!";

fn now<F: Future>(future: F) -> F::Output {
    future.now_or_never().expect("nothing to wait for")
}

#[tokio::test]
async fn trace() {
    let service = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(ModelRouteLayer::new(simple()))
        .service(engine());
    let response = now(service.oneshot(asked())).unwrap();
    assert!(response.extensions().get::<RouteDecision>().is_some());
    assert_eq!(text(response.into_body()), LONG);
}

#[tokio::test]
async fn request_ids_reach_the_engine_and_come_back() {
    let service = ServiceBuilder::new()
        .set_x_request_id(MakeRequestUuid)
        .propagate_x_request_id()
        .layer(ModelRouteLayer::new(simple()))
        .service(engine());
    let response = now(service.oneshot(asked())).unwrap();
    let id = response.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(id.len(), 36);
    assert_eq!(text(response.into_body()), id);
}

#[tokio::test]
async fn compression_compresses_the_engines_answer() {
    let layers = ServiceBuilder::new()
        .layer(CompressionLayer::new())
        .layer(ModelRouteLayer::new(simple()));
    let mut request = asked();
    request
        .headers_mut()
        .insert(header::ACCEPT_ENCODING, "gzip".parse().unwrap());
    let response = now(layers.clone().service(engine()).oneshot(request)).unwrap();
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");

    let service = DecompressionLayer::new().layer(layers.service(engine()));
    let response = now(service.oneshot(asked())).unwrap();
    assert_eq!(text(response.into_body()), LONG);
}

#[tokio::test]
async fn cors_answers_the_preflight_and_marks_the_answer() {
    let mut service = ServiceBuilder::new()
        .layer(CorsLayer::permissive())
        .layer(MapResponseBodyLayer::new(Body::new))
        .layer(ModelRouteLayer::new(simple()))
        .service(engine());
    let preflight = Request::options("/v1/chat/completions")
        .header(header::ORIGIN, "https://chat.example")
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .body(Full::default())
        .unwrap();
    for request in [preflight, asked()] {
        let response = now(service.call(request)).unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }
}

#[tokio::test(start_paused = true)]
async fn timeout_answers_with_its_own_status() {
    let service = ServiceBuilder::new()
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            Duration::from_secs(5),
        ))
        .layer(MapResponseBodyLayer::new(Body::new))
        .layer(ModelRouteLayer::new(simple()))
        .service(engine());
    let response = now(service.clone().oneshot(asked().map(Body::new))).unwrap();
    assert_eq!(text(response.into_body()), LONG);
    let (upload, body) = script();
    let response = within(service.oneshot(chat(Body::new(body))))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    assert!(upload.is_dropped());
}

#[tokio::test]
async fn a_body_limit_above_that_hits_while_reading_is_our_413() {
    let mut service = ServiceBuilder::new()
        .layer(RequestBodyLimitLayer::new(ASKED.len()))
        .layer(ModelRouteLayer::new(simple()))
        .service(engine());
    let response = now(service.call(asked().map(Body::new))).unwrap();
    assert_eq!(text(response.into_body()), LONG);

    let (upload, body) = script();
    upload.data(ASKED).data(" ").end();
    let refused = own(now(service.call(chat(Body::new(body)))).unwrap());
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(refused.code, "body_too_large");
    // It is not ours, and how many bytes it allows is not said.
    assert_eq!(
        refused.error.message(),
        "the request body is larger than this server allows"
    );
}

#[tokio::test]
async fn all_of_them_in_an_axum_router() {
    let gateway = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(simple()))
        .layer(AnswerErrorsLayer::new())
        .service(engine());
    let app = axum::Router::new().fallback_service(gateway).layer(
        ServiceBuilder::new()
            .layer(TraceLayer::new_for_http())
            .set_x_request_id(MakeRequestUuid)
            .propagate_x_request_id()
            .layer(CorsLayer::permissive())
            .layer(TimeoutLayer::with_status_code(
                StatusCode::REQUEST_TIMEOUT,
                Duration::from_secs(5),
            ))
            .layer(CompressionLayer::new())
            .layer(RequestBodyLimitLayer::new(1 << 20)),
    );
    let response = now(app.clone().oneshot(asked().map(Body::new))).unwrap();
    let id = response.headers()[HeaderName::from_static("x-request-id")].clone();
    assert_eq!(text(response.into_body()).as_bytes(), id.as_bytes());

    let unknown = chat(Body::from(r#"{"model":"unknown"}"#));
    let refused = own(now(app.oneshot(unknown)).unwrap());
    assert_eq!(refused.code, "model_not_found");
}
