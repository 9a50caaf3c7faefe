//! A gateway without a network: a request goes in, and what the engine would get comes out.

use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri, request::Parts};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::{Layer, ServiceExt, service_fn};
use tower_model_route::{
    ExtractModel, ModelRoute, ModelRouteLayer, ModelServer, RouteBody, RouteDecision, RouteTable,
    Rule,
};

/// Its name has what must be escaped in a URI, and in JSON.
pub(crate) const REAL: &str = "org/real \"1\"";
/// [`REAL`] as a part of a URI.
pub(crate) const REAL_IN_URI: &str = "org%2Freal%20%221%22";
/// [`REAL`] as a JSON string.
pub(crate) const REAL_IN_JSON: &str = r#""org/real \"1\"""#;

/// How a request ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Bytes,
    forwarded: Option<Forwarded>,
}

/// What the engine got.
#[derive(Debug)]
pub(crate) struct Forwarded {
    pub(crate) head: Parts,
    pub(crate) body: Bytes,
    decision: Option<RouteDecision>,
}

impl Forwarded {
    pub(crate) fn uri(&self) -> &Uri {
        &self.head.uri
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let value = self.head.headers.get(name)?;
        Some(value.to_str().unwrap())
    }

    pub(crate) fn asked_for(&self) -> &str {
        let decision = self.decision.as_ref();
        decision.expect("a decision").requested_model()
    }
}

impl Outcome {
    #[track_caller]
    pub(crate) fn forwarded(self) -> Forwarded {
        assert_eq!(self.status, StatusCode::OK, "{:?}", self.body);
        self.forwarded.expect("it went to the engine")
    }

    /// It was refused with this status and code, and never went to the engine.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        let json: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(json["error"]["code"], code);
        assert!(self.forwarded.is_none());
    }
}

/// Sends a request through the layer of these sources.
pub(crate) async fn send_by<B>(sources: impl ExtractModel, request: Request<B>) -> Outcome
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let layer = ModelRouteLayer::new(table()).extract_model(sources);
    send_through(layer, request, || Response::new(Full::default())).await
}

/// Sends a request through the layer as it is by default.
pub(crate) async fn send<B>(request: Request<B>) -> Outcome
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let layer = ModelRouteLayer::new(table());
    send_through(layer, request, || Response::new(Full::default())).await
}

/// Sends a request through `layer` to an engine that answers so.
pub(crate) async fn send_through<B>(
    layer: ModelRouteLayer,
    request: Request<B>,
    answer: fn() -> Response<Full<Bytes>>,
) -> Outcome
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let seen = Arc::<Mutex<Option<Forwarded>>>::default();
    let engine = Arc::clone(&seen);
    let service = layer.layer(service_fn(move |request: Request<RouteBody>| {
        let engine = Arc::clone(&engine);
        async move {
            let (head, body) = request.into_parts();
            let decision = body.decision();
            let body = body.collect().await.expect("a whole body").to_bytes();
            *engine.lock().unwrap() = Some(Forwarded {
                head,
                body,
                decision,
            });
            ready(Ok::<_, Infallible>(answer())).await
        }
    }));
    let Ok(answer) = service.oneshot(request).await;
    let (head, body) = answer.into_parts();
    Outcome {
        status: head.status,
        headers: head.headers,
        body: body.collect().await.unwrap().to_bytes(),
        forwarded: seen.lock().unwrap().take(),
    }
}

/// A POST with a JSON body.
pub(crate) fn post(uri: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let body = body.into();
    Request::post(uri)
        .header("host", "gateway.test")
        .header("content-type", "application/json")
        .header("content-length", body.len())
        .body(Full::new(body))
        .unwrap()
}

/// A request without a body.
pub(crate) fn get(uri: &str) -> http::request::Builder {
    Request::get(uri).header("host", "gateway.test")
}

pub(crate) fn table() -> RouteTable {
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
