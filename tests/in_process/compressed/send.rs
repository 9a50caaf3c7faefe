//! Compressed requests through the stack, and what the engines get of them.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request};
use http_body::{Body, Frame};
use http_body_util::{Full, StreamBody};
use serde_json::Value;
use test_kit::{
    engines::{Engines, says, status},
    exchange::Outcome,
};
use tower_model_route::{
    Balance, Encoding, HashKey, ModelRoute, ModelRouteLayer, ModelServer, RouteTable, Rule,
    TrafficPolicy, stack,
};

/// What the engines call the model `alias`; it must be escaped in JSON.
pub(super) const REAL: &str = "org/real \"1\"";

const ENCODINGS: [Encoding; 4] = [
    Encoding::Gzip,
    Encoding::Deflate,
    Encoding::Brotli,
    Encoding::Zstd,
];

/// The engine here, on ports from 8000 on, is always full.
const FULL: &str = "http://full.test";
/// The engine here answers.
const FREE: &str = "http://free.test";

/// A layer for [`table`].
pub(super) fn layer() -> ModelRouteLayer {
    ModelRouteLayer::new(table())
}

/// The same with engines that read every coding.
pub(super) fn accepting() -> ModelRouteLayer {
    ModelRouteLayer::new(of(&ENCODINGS))
}

/// `alias` is rewritten, and its endpoint is chosen by a key in the body.
pub(super) fn keyed() -> ModelRouteLayer {
    let by_user = Balance::ConsistentHash(HashKey::User.into());
    let real = ModelServer::new("real").model(REAL).endpoint(FREE);
    let table = RouteTable::builder()
        .model_server(real.balance(by_user))
        .model_route(
            ModelRoute::new("alias")
                .model_name("alias")
                .rule(Rule::new("all").target("real")),
        );
    ModelRouteLayer::new(table.build().unwrap())
}

/// Sends a request through `layer`, and what fails again.
pub(super) async fn send<B>(layer: ModelRouteLayer, request: Request<B>) -> Outcome
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let engines = Engines::default();
    engines.everywhere(|| says(200, ""));
    for port in 8000..8010 {
        engines.always(&format!("{FULL}:{port}"), || status(503));
    }
    let service = stack(layer).service(engines.service());
    let outcome = Outcome::of(&engines, service, request).await;
    // Each body is as long as it has said.
    for attempt in &outcome.forwarded {
        let length = attempt.bytes().len() as u64;
        let expected = attempt.trailers.is_none().then_some(length);
        assert_eq!(attempt.announced, expected);
    }
    outcome
}

/// A POST with a JSON body in this coding.
pub(super) fn post(coding: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
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
pub(super) fn chat(model: &str) -> Vec<u8> {
    let content: String = (0_u64..3000).map(|n| format!("{} ", n * n)).collect();
    let (before, after) = content.split_at(content.len() / 2);
    let model = Value::from(model);
    format!(r#"{{"prompt":"{before}", "model" : {model} ,"suffix":"{after}"}}"#).into_bytes()
}

/// How long a [`large`] one is.
pub(super) const LARGE: usize = 1 << 20;

/// A document that asks for `alias` and compresses to a few percent.
pub(super) fn large() -> Vec<u8> {
    let (begin, end) = (r#"{"prompt":""#, r#"","model":"alias"}"#);
    let mut text: String = (0_u64..LARGE as u64 / 330)
        .map(|n| format!("{} {}", n * n, "and so on, ".repeat(30)))
        .collect();
    text.truncate(LARGE - begin.len() - end.len());
    [begin, &text, end].concat().into_bytes()
}

/// The same request with its body in pieces of `size` bytes, and of a length that is not said.
pub(super) fn in_pieces(
    request: Request<Full<Bytes>>,
    size: usize,
) -> Request<impl Body<Data = Bytes, Error = Infallible> + Send + 'static> {
    with_trailers(request, size, None)
}

/// And with these trailers behind it.
pub(super) fn with_trailers(
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
pub(super) fn table() -> RouteTable {
    of(&[])
}

fn of(encodings: &[Encoding]) -> RouteTable {
    let accept = |server| accepting_all(server, encodings);
    RouteTable::builder()
        .model_server(accept(ModelServer::new("real").model(REAL).endpoint(FREE)))
        .model_server(accept(ModelServer::new("plain").endpoint(FREE)))
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

pub(super) fn accepting_all(server: ModelServer, encodings: &[Encoding]) -> ModelServer {
    let encodings = encodings.iter();
    encodings.fold(server, |server, encoding| {
        server.accepts_encoding(*encoding)
    })
}

/// `alias` goes to one engine after the other, of which only the last is not full; `models` is
/// what they call it, and `accept` whether they read compressed bodies.
pub(super) fn chain(models: &[Option<&str>], accept: &[bool]) -> RouteTable {
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
        if accept[n] {
            server = accepting_all(server, &ENCODINGS);
        }
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
