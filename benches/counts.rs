//! What the layer and its listeners cost in instructions, which do not depend on the machine's load.
//!
//! `benches/counts.sh` runs each row under valgrind's callgrind, twice, and prints the difference a
//! request or an event. Without a row every row is run once.
#![allow(missing_docs)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::Request;
use http_body_util::Full;
use support::{
    chat,
    frames::{drain, in_events, in_one_piece},
    request,
};
use tower::{Layer, ServiceExt};
use tower_model_route::{
    Metrics, ModelRoute, ModelRouteLayer, ModelServer, Observer, OnInterruption, Per, RateLimit,
    RouteTable, RouteTableHandle, Rule, TrafficPolicy,
};

const EVENTS: usize = 1000;

struct Nothing;
impl Observer for Nothing {}

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
    let route = ModelRoute::new("chat")
        .model_name(support::MODEL)
        .rule(Rule::new("all").target("v1"));
    let server = ModelServer::new("v1")
        .endpoint("http://127.0.0.1:8001")
        .traffic_policy(policy);
    let table = RouteTable::builder()
        .model_server(server)
        .model_route(limit.into_iter().fold(route, ModelRoute::rate_limit))
        .build()
        .unwrap();
    let handle = RouteTableHandle::new(table);
    let layer = ModelRouteLayer::new(handle.clone());
    match row {
        "observer" => layer.observer(Nothing),
        "metrics" | "all" | "defaults_all" => {
            layer.observer(Nothing).observer(Metrics::new(&handle))
        }
        _ => layer,
    }
}

/// `times` requests of 1 KB with an answer in JSON.
fn requests(layer: &ModelRouteLayer, times: usize) {
    let mut service = layer.layer(in_one_piece());
    let body = Bytes::from(chat(1 << 10, true).replace("true", "false"));
    for _ in 0..times {
        let request = request().map(|()| Full::new(body.clone()));
        let call = tower::Service::call(&mut service, request);
        let answer = call.now_or_never().unwrap().unwrap();
        assert_eq!(drain(answer.into_body()), 1);
    }
}

/// `times` streams of 1,001 events.
fn streams(layer: &ModelRouteLayer, times: usize) {
    let service = layer.layer(in_events(EVENTS));
    for _ in 0..times {
        let body = format!(r#"{{"model":"{}","stream":true}}"#, support::MODEL);
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
    for name in ROWS {
        if row.is_none_or(|row| row == name) {
            let layer = layer(name);
            if what.is_none_or(|what| what == "requests") {
                requests(&layer, times);
            }
            if what.is_none_or(|what| what == "streams") {
                streams(&layer, times);
            }
        }
    }
}
