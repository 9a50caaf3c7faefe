//! What a request costs in instructions, atomic writes and allocations, which do not depend on the
//! machine's load.
//!
//! `benches/counts.sh` runs each row under valgrind's callgrind, twice, and prints the difference a
//! request or an event. Without a row every row is run once.

#[path = "../../../benches/support/bodies.rs"]
#[allow(dead_code, unreachable_pub, reason = "the benches use the rest of it")]
mod bodies;
#[path = "../../../benches/support/floor.rs"]
#[allow(unreachable_pub, reason = "shared with the benches")]
mod floor;
#[path = "../../../benches/support/frames.rs"]
#[allow(unreachable_pub, reason = "shared with the benches")]
mod frames;

use std::{convert::Infallible, time::Duration};

use bodies::{MODEL, REAL, chat, request};
use bytes::Bytes;
use floor::{Floor, Target};
use frames::{drain, in_events, in_one_piece};
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_model_route::{
    Metrics, ModelRoute, ModelRouteLayer, ModelServer, Observer, OnInterruption, Per, RateLimit,
    RouteBody, RouteTable, RouteTableHandle, Rule, TrafficPolicy, stack,
};

const EVENTS: usize = 1000;

struct Nothing;
impl Observer for Nothing {}

/// The engine alone, the least that a router by model does, the layer, the whole stack, and the stack
/// with retries and timeouts allowed; the model is renamed.
const STACKS: [&str; 5] = ["bare", "floor", "layer", "stack", "retries"];

/// Who listens and what is limited, by the name of the row. Without `defaults` in it nothing else
/// reads a stream.
const ROWS: [&str; 8] = [
    "nobody",
    "observer",
    "metrics",
    "requests_limit",
    "tokens_limit",
    "all",
    "defaults",
    "defaults_all",
];

fn layer(row: &str) -> ModelRouteLayer {
    let policy = match row {
        "defaults" | "defaults_all" => TrafficPolicy::new(),
        _ => TrafficPolicy::new()
            .stream_idle_timeout(Duration::ZERO)
            .on_interruption(OnInterruption::Pass),
    };
    let limit = match row {
        "requests_limit" => Some(RateLimit::requests(1 << 50, Per::Month)),
        "tokens_limit" | "all" | "defaults_all" => {
            Some(RateLimit::total_tokens(1 << 50, Per::Month))
        }
        _ => None,
    };
    let server = ModelServer::new("v1").traffic_policy(policy);
    let handle = RouteTableHandle::new(table(server, limit));
    let layer = ModelRouteLayer::new(handle.clone());
    match row {
        "observer" => layer.observer(Nothing),
        "metrics" | "all" | "defaults_all" => {
            layer.observer(Nothing).observer(Metrics::new(&handle))
        }
        _ => layer,
    }
}

fn table(server: ModelServer, limit: Option<RateLimit>) -> RouteTable {
    let route = ModelRoute::new("chat")
        .model_name(MODEL)
        .rule(Rule::new("all").target("v1"));
    RouteTable::builder()
        .model_server(server.endpoint("http://127.0.0.1:8001"))
        .model_route(limit.into_iter().fold(route, ModelRoute::rate_limit))
        .build()
        .unwrap()
}

/// `times` requests of 1 KB, whose answer is JSON.
fn requests<S, B, R>(mut service: S, body: fn(Bytes) -> B, times: usize)
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
    R: Body,
{
    let text = Bytes::from(chat(1 << 10, true).replace("true", "false"));
    for _ in 0..times {
        let mut request = request().map(|()| body(text.clone()));
        let id = HeaderValue::from_static("req-0123456789abcdef");
        let headers = request.headers_mut();
        headers.insert("x-request-id", id);
        headers.insert("content-length", HeaderValue::from(text.len()));
        let answer = service.call(request).now_or_never().unwrap().unwrap();
        assert_eq!(drain(answer.into_body()), 1);
    }
}

/// The same of the engine, or of what is around it.
fn requests_of_stack(row: &str, times: usize) {
    let server = ModelServer::new("v1").model(REAL);
    let engine = in_one_piece();
    match row {
        "bare" => requests(engine, RouteBody::from, times),
        "floor" => {
            let to = Target::new(([127, 0, 0, 1], 8001).into()).unwrap();
            let floor = Floor::to(to, REAL);
            let service = service_fn(|request| {
                let mut engine = engine.clone();
                async move { engine.call(floor.routed(request).await).await }
            });
            requests(service, Full::new, times);
        }
        "layer" => {
            let layer = ModelRouteLayer::new(table(server, None));
            requests(layer.layer(engine), Full::new, times);
        }
        "stack" => requests(stack(table(server, None)).service(engine), Full::new, times),
        _ => {
            let policy = TrafficPolicy::new()
                .max_retries(2)
                .timeout(Duration::from_secs(60))
                .total_timeout(Duration::from_secs(600));
            let table = table(server.traffic_policy(policy), None);
            requests(stack(table).service(engine), Full::new, times);
        }
    }
}

/// `times` streams of 1,001 events.
fn streams(layer: &ModelRouteLayer, times: usize) {
    let service = layer.layer(in_events(EVENTS));
    for _ in 0..times {
        let body = format!(r#"{{"model":"{}","stream":true}}"#, MODEL);
        let request = Request::post("/v1/chat/completions").body(Full::new(Bytes::from(body)));
        let call = service.clone().oneshot(request.unwrap());
        let answer = call.now_or_never().unwrap().unwrap();
        assert_eq!(drain(answer.into_body()), EVENTS + 1);
    }
}

fn main() {
    let asked: Vec<_> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let [row, what, times] = [0, 1, 2].map(|at| asked.get(at).map(String::as_str));
    let times = times.map_or(1, |times| times.parse().expect("a number"));
    for name in STACKS {
        if row.is_none_or(|row| row == name) {
            requests_of_stack(name, times);
        }
    }
    for name in ROWS {
        if row.is_none_or(|row| row == name) {
            let layer = layer(name);
            if what.is_none_or(|what| what == "requests") {
                requests(layer.layer(in_one_piece()), Full::new, times);
            }
            if what.is_none_or(|what| what == "streams") {
                streams(&layer, times);
            }
        }
    }
}
