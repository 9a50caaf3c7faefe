//! The client for engines.

#[cfg(target_os = "linux")]
mod at_an_address;
mod each_model_server;
mod early_answers_arrive;
mod fresh_connections;
mod http2;
mod sockets;
mod tls;
mod what_is_known;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use test_kit::time::within;
use tower::{Service, ServiceExt};
use tower_model_route::{ConnectionFailure, ConnectionFailureKind, EngineClient, RouteBody};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn post(url: &str) -> Request<RouteBody> {
    let body = RouteBody::from(Bytes::from_static(b"{}"));
    Request::post(format!("{url}/v1/completions"))
        .body(body)
        .unwrap()
}

async fn send(
    client: &EngineClient,
    request: Request<RouteBody>,
) -> Result<Response<Incoming>, BoxError> {
    let mut client = client.clone();
    within(async { client.ready().await?.call(request).await }).await
}

/// The status and the body.
async fn ask(client: &EngineClient, request: Request<RouteBody>) -> (u16, Bytes) {
    let response = send(client, request).await.expect("an answer");
    let status = response.status().as_u16();
    let body = within(response.into_body().collect()).await.unwrap();
    (status, body.to_bytes())
}

/// What is known of the connection, if it is the connection that failed.
fn kind(error: &BoxError) -> Option<ConnectionFailureKind> {
    let failure = error.downcast_ref::<ConnectionFailure>();
    failure.map(ConnectionFailure::kind)
}

async fn failure(
    client: &EngineClient,
    request: Request<RouteBody>,
) -> Option<ConnectionFailureKind> {
    kind(&send(client, request).await.expect_err("no answer"))
}
