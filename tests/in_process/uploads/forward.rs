//! The layer over an engine that nobody calls.

use std::{convert::Infallible, future::ready};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use test_kit::{body::BoxError, request::chat_with_length, table::of_each_kind};
use tower::{Layer, ServiceExt, service_fn};
use tower_model_route::{ModelRouteLayer, RouteBody};

pub(super) fn layer() -> ModelRouteLayer {
    ModelRouteLayer::new(of_each_kind("http://engine.test"))
}

/// The request that the service below `layer` gets for this body: its own future is over.
pub(super) async fn forwarded<B>(layer: ModelRouteLayer, body: B) -> Request<RouteBody>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (sender, mut forwarded) = tokio::sync::mpsc::unbounded_channel();
    let service = layer.layer(service_fn(move |request| {
        sender.send(request).unwrap();
        ready(Ok::<_, Infallible>(Response::new(String::new())))
    }));
    let answer = service.oneshot(chat_with_length(body)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    forwarded.recv().await.unwrap()
}
