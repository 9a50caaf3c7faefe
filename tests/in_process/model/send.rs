//! A request through the layer, to an engine whose name for the model is awkward.

use std::convert::Infallible;

use bytes::Bytes;
use http::Request;
use http_body::Body;
use test_kit::{
    engines::{Act, Engines, says},
    exchange::Outcome,
};
use tower::Layer;
use tower_model_route::{
    ApiPaths, ExtractModel, ModelRoute, ModelRouteLayer, ModelServer, RouteTable, Rule,
};

/// Its name has what must be escaped in a URI, and in JSON.
pub(super) const REAL: &str = "org/real \"1\"";
/// [`REAL`] as a part of a URI.
pub(super) const REAL_IN_URI: &str = "org%2Freal%20%221%22";
/// [`REAL`] as a JSON string.
pub(super) const REAL_IN_JSON: &str = r#""org/real \"1\"""#;

/// Sends a request through the layer of these sources.
pub(super) async fn send_by<B>(sources: impl ExtractModel, request: Request<B>) -> Outcome
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let layer = ModelRouteLayer::new(table())
        .extract_model(sources)
        .paths(ApiPaths::any());
    send_through(layer, request, || says(200, "")).await
}

/// Sends a request through the layer as it is by default.
pub(super) async fn send<B>(request: Request<B>) -> Outcome
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    send_through(ModelRouteLayer::new(table()), request, || says(200, "")).await
}

/// Sends a request through `layer` to an engine that answers so.
pub(super) async fn send_through<B>(
    layer: ModelRouteLayer,
    request: Request<B>,
    answer: fn() -> Act,
) -> Outcome
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let engines = Engines::default();
    engines.everywhere(answer);
    Outcome::of(&engines, layer.layer(engines.service()), request).await
}

pub(super) fn table() -> RouteTable {
    let to = |name: &str, server: &str| {
        ModelRoute::new(name)
            .model_name(name)
            .rule(Rule::new("all").target(server))
    };
    RouteTable::builder()
        .model_server(
            ModelServer::new("real")
                .model(REAL)
                .endpoint("http://engine.test:8000/base"),
        )
        .model_server(ModelServer::new("as-it-is").endpoint("http://engine.test:8000/base"))
        .model_route(to("alias", "real").lora_adapter("lora"))
        .model_route(to("org/alias", "real"))
        .model_route(to("plain/model", "as-it-is"))
        .build()
        .unwrap()
}
