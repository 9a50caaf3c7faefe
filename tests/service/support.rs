//! What most of the tests begin with: a table, a request, a mock and a reply.

use std::{error::Error, task::Poll, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tokio_test::task::Spawn;
use tower_model_route::{ModelRoute, ModelServer, RouteBody, RouteError, RouteTable, Rule};
use tower_test::mock;

use crate::script::{Scripted, script};

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;
pub(crate) type Mock = mock::Mock<Request<RouteBody>, Response<Scripted>>;
pub(crate) type Handle = mock::Handle<Request<RouteBody>, Response<Scripted>>;
pub(crate) type Reply = mock::SendResponse<Response<Scripted>>;

/// The one endpoint of [`table`].
pub(crate) const ENDPOINT: &str = "http://engine:8000";
/// A body that [`table`] routes, and what the engine gets for it.
pub(crate) const ASKED: &str = r#"{"model":"asked","messages":[]}"#;
pub(crate) const REWRITTEN: &str = r#"{"model":"real","messages":[]}"#;

/// The model `asked` goes to one server, whose engines call it `real`.
pub(crate) fn table() -> RouteTable {
    RouteTable::builder()
        .model_server(ModelServer::new("server").model("real").endpoint(ENDPOINT))
        .model_route(
            ModelRoute::new("route")
                .model_name("asked")
                .rule(Rule::new("rule").target("server")),
        )
        .build()
        .unwrap()
}

/// The requests in flight to all endpoints.
pub(crate) fn in_flight(table: &RouteTable) -> usize {
    table
        .servers()
        .iter()
        .map(|server| server.in_flight())
        .sum()
}

pub(crate) fn chat<B>(body: B) -> Request<B> {
    Request::post("/v1/chat/completions").body(body).unwrap()
}

/// A complete request.
pub(crate) fn chat_of(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    chat(Full::new(body.into()))
}

/// A complete request that [`table`] routes.
pub(crate) fn asked() -> Request<Full<Bytes>> {
    chat_of(ASKED)
}

/// Polls until the future waits for something that has not happened, as a runtime would.
#[track_caller]
pub(crate) fn waits<F: Future>(future: &mut Spawn<F>) {
    loop {
        assert!(future.poll().is_pending(), "the future has ended");
        if !future.is_woken() {
            return;
        }
    }
}

pub(crate) fn mock() -> (Mock, Handle) {
    mock::pair()
}

/// The request that the mock has got.
#[track_caller]
pub(crate) fn called(handle: &mut Handle) -> (Request<RouteBody>, Reply) {
    match handle.poll_request() {
        Poll::Ready(Some(request)) => request,
        _ => panic!("the inner service was not called"),
    }
}

#[track_caller]
pub(crate) fn assert_not_called(handle: &mut Handle) {
    // There is no more to come once the service is gone.
    assert!(
        matches!(handle.poll_request(), Poll::Pending | Poll::Ready(None)),
        "the inner service was called"
    );
}

/// A complete answer of an engine.
pub(crate) fn ok(text: &'static str) -> Response<Scripted> {
    let (handle, body) = script();
    handle.data(text).end_known();
    Response::new(body)
}

/// The whole of a body that is there.
#[track_caller]
pub(crate) fn text<B>(body: B) -> String
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let collected = body.collect().now_or_never().expect("the body is there");
    let bytes = match collected {
        Ok(collected) => collected.to_bytes(),
        Err(error) => panic!("the body failed: {}", error.into()),
    };
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// An answer of the gateway's own, taken apart.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) headers: HeaderMap,
    /// What the response's extensions hold.
    pub(crate) error: RouteError,
}

/// Asserts that `response` is an answer of the gateway's own, in OpenAI's shape.
#[track_caller]
pub(crate) fn own<B>(response: Response<B>) -> Own
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let (head, body) = response.into_parts();
    assert_eq!(head.headers["content-type"], "application/json");
    let body: Value = serde_json::from_str(&text(body)).unwrap();
    let error = head.extensions.get::<RouteError>().cloned();
    let error = error.expect("the error is in the extensions");
    assert_eq!(error.status(), head.status);
    assert_eq!(body["error"]["message"], error.message());
    Own {
        status: head.status,
        code: body["error"]["code"].as_str().unwrap().to_owned(),
        headers: head.headers,
        error,
    }
}

/// `future`, or a panic instead of a hang; with the clock paused that costs no time.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    match tokio::time::timeout(Duration::from_secs(3600), future).await {
        Ok(output) => output,
        Err(_) => panic!("nothing happened for an hour"),
    }
}
