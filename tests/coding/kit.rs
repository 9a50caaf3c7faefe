//! A gateway without a network: a compressed request goes in, and what the engines get comes out.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response, StatusCode, request::Parts};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::Value;
use tower::{ServiceExt, service_fn};
use tower_model_route::{
    ModelRoute, ModelRouteLayer, ModelServer, RouteBody, RouteTable, Rule, TrafficPolicy, stack,
};

use crate::codecs::Coding;

/// What the engines call the model `alias`; it must be escaped in JSON.
pub(crate) const REAL: &str = "org/real \"1\"";

/// Engines here are always full.
pub(crate) const FULL: &str = "http://full.test";
/// Engines here answer.
pub(crate) const FREE: &str = "http://free.test";

/// How a request ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Bytes,
    /// What the engines got, one after the other.
    pub(crate) forwarded: Vec<Forwarded>,
}

/// What an engine got.
#[derive(Debug)]
pub(crate) struct Forwarded {
    pub(crate) head: Parts,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Outcome {
    /// What the one engine got that was asked.
    #[track_caller]
    pub(crate) fn forwarded(mut self) -> Forwarded {
        assert_eq!(self.status, StatusCode::OK, "{:?}", self.body);
        assert_eq!(self.forwarded.len(), 1);
        self.forwarded.remove(0)
    }

    /// It was refused with this status and code, and went to no engine.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        let json: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(json["error"]["code"], code);
        assert!(self.forwarded.is_empty());
    }
}

impl Forwarded {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let value = self.head.headers.get(name)?;
        Some(value.to_str().unwrap())
    }

    /// It is `body`, in `coding` if in any, and its head says so.
    #[track_caller]
    pub(crate) fn assert_is(&self, body: &[u8], coding: Option<&str>) {
        assert!(self.body == body, "{:?}", self.body);
        assert_eq!(self.header("content-encoding"), coding);
        let length = self.body.len().to_string();
        assert_eq!(self.header("content-length"), Some(&*length));
    }

    /// It is `body` in this coding, however well compressed.
    #[track_caller]
    pub(crate) fn assert_decodes_to(&self, body: &[u8], coding: Coding) {
        assert!(coding.decode(&self.body) == body, "{coding:?}");
        self.assert_is(&self.body, Some(coding.name()));
    }
}

/// A layer for [`table`].
pub(crate) fn layer() -> ModelRouteLayer {
    ModelRouteLayer::new(table())
}

/// Sends a request through `layer`, and what fails again.
pub(crate) async fn send<B>(layer: ModelRouteLayer, request: Request<B>) -> Outcome
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let seen = Arc::<Mutex<Vec<Forwarded>>>::default();
    let engines = Arc::clone(&seen);
    let service = stack(layer).service(service_fn(move |request: Request<RouteBody>| {
        let engines = Arc::clone(&engines);
        async move {
            let mut response = Response::new(Full::<Bytes>::default());
            if FULL.ends_with(request.uri().host().unwrap()) {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            let forwarded = receive(request).await;
            engines.lock().unwrap().push(forwarded);
            Ok::<_, Infallible>(response)
        }
    }));
    let Ok(answer) = service.oneshot(request).await;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let forwarded = std::mem::take(&mut *seen.lock().unwrap());
    Outcome {
        status: head.status,
        headers: head.headers,
        body,
        forwarded,
    }
}

/// Reads a request to its end; its body is as long as it has said.
async fn receive(request: Request<RouteBody>) -> Forwarded {
    let (head, body) = request.into_parts();
    let length = body.size_hint().exact();
    let body = body.collect().await.expect("a whole body");
    let trailers = body.trailers().cloned();
    let body = body.to_bytes();
    let expected = trailers.is_none().then_some(body.len() as u64);
    assert_eq!(length, expected);
    Forwarded {
        head,
        body,
        trailers,
    }
}

/// A POST with a JSON body in this coding.
pub(crate) fn post(coding: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let body = body.into();
    Request::post("/v1/chat/completions")
        .header("host", "gateway.test")
        .header("content-type", "application/json")
        .header("content-encoding", coding)
        .header("content-length", body.len())
        .body(Full::new(body))
        .unwrap()
}

/// A chat that asks for `model`, with enough in it that a codec has to work.
pub(crate) fn chat(model: &str) -> Vec<u8> {
    let content: String = (0_u64..3000).map(|n| format!("{} ", n * n)).collect();
    let (before, after) = content.split_at(content.len() / 2);
    let model = Value::from(model);
    format!(r#"{{"prompt":"{before}", "model" : {model} ,"suffix":"{after}"}}"#).into_bytes()
}

/// The same request with its body in pieces of `size` bytes, and of a length that is not said.
pub(crate) fn in_pieces(
    request: Request<Full<Bytes>>,
    size: usize,
) -> Request<impl Body<Data = Bytes, Error = Infallible> + Send + 'static> {
    with_trailers(request, size, None)
}

/// And with these trailers behind it.
pub(crate) fn with_trailers(
    mut request: Request<Full<Bytes>>,
    size: usize,
    trailers: Option<HeaderMap>,
) -> Request<impl Body<Data = Bytes, Error = Infallible> + Send + 'static> {
    request.headers_mut().remove("content-length");
    request.map(|body| {
        let body = body.into_inner().unwrap_or_default();
        let pieces: Vec<_> = (0..body.len())
            .step_by(size)
            .map(|at| body.slice(at..body.len().min(at + size)))
            .map(Frame::data)
            .chain(trailers.map(Frame::trailers))
            .map(Ok::<_, Infallible>)
            .collect();
        StreamBody::new(stream::iter(pieces))
    })
}

/// `alias` is rewritten to [`REAL`]; the adapter `lora` and the model `plain` stay as they are.
pub(crate) fn table() -> RouteTable {
    RouteTable::builder()
        .model_server(ModelServer::new("real").model(REAL).endpoint(FREE))
        .model_server(ModelServer::new("plain").endpoint(FREE))
        .model_route(
            ModelRoute::new("alias")
                .model_name("alias")
                .lora_adapter("lora")
                .rule(Rule::new("all").target("real")),
        )
        .model_route(
            ModelRoute::new("plain")
                .model_name("plain")
                .rule(Rule::new("all").target("plain")),
        )
        .build()
        .unwrap()
}

/// `alias` goes to one engine after the other, of which only the last is not full; `models` is
/// what they call it.
pub(crate) fn chain(models: &[Option<&str>]) -> RouteTable {
    let policy = TrafficPolicy::new()
        .max_retries(u32::try_from(models.len()).unwrap())
        .retry_interval(Duration::ZERO);
    let mut table = RouteTable::builder();
    let mut rule = Rule::new("all");
    for (n, model) in models.iter().enumerate() {
        let is_last = n + 1 == models.len();
        let endpoint = format!("{}:{}", if is_last { FREE } else { FULL }, 8000 + n);
        let mut server = ModelServer::new(n.to_string())
            .endpoint(endpoint)
            .traffic_policy(policy.clone());
        if let Some(model) = model {
            server = server.model(*model);
        }
        table = table.model_server(server);
        rule = match n {
            0 => rule.target("0"),
            n => rule.fallback(n.to_string()),
        };
    }
    table
        .model_route(ModelRoute::new("alias").model_name("alias").rule(rule))
        .build()
        .unwrap()
}
