//! What the layer and its listeners cost in instructions, which do not depend on the machine's load.
//!
//! `benches/counts.sh` runs each row under valgrind's callgrind, twice, and prints the difference a
//! request or an event. Without a row every row is run once.
#![allow(missing_docs)]

mod support;

use std::{collections::VecDeque, convert::Infallible, hint::black_box, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::Full;
use support::{
    chat,
    frames::{Frames, drain},
    request,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_model_route::{
    Metrics, ModelRoute, ModelRouteLayer, ModelServer, Observer, OnInterruption, Per, RateLimit,
    RouteBody, RouteTable, RouteTableHandle, Rule, TrafficPolicy,
};

const EVENTS: usize = 1000;
const ANSWER: &str = r#"{"id":"chatcmpl-b46a06d8b283d570","object":"chat.completion","created":1795833026,"model":"org/base-v1","choices":[{"index":0,"message":{"role":"assistant","content":"There then has been a weighted split.","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":209,"total_tokens":217,"completion_tokens":8}}"#;

/// Who listens, what is limited, and whether a stream is read for other reasons than these.
const ROWS: [(&str, bool, bool, bool); 8] = [
    ("nobody", false, false, false),
    ("observer", true, false, false),
    ("metrics", true, true, false),
    ("requests_limit", false, false, false),
    ("tokens_limit", false, false, true),
    ("all", true, true, true),
    // With the policy's defaults, which read streams for their own reasons.
    ("defaults", false, false, false),
    ("defaults_all", true, true, true),
];

struct Nothing;
impl Observer for Nothing {}

struct Row {
    name: &'static str,
    layer: ModelRouteLayer,
}

fn rows() -> Vec<Row> {
    ROWS.into_iter()
        .map(|(name, observes, counts, limits)| {
            let policy = match name.starts_with("defaults") {
                true => TrafficPolicy::new(),
                false => TrafficPolicy::new()
                    .stream_idle_timeout(Duration::ZERO)
                    .on_interruption(OnInterruption::Pass),
            };
            let server = ModelServer::new("v1")
                .endpoint("http://127.0.0.1:8001")
                .traffic_policy(policy);
            let route = ModelRoute::new("chat")
                .model_name(support::MODEL)
                .rule(Rule::new("all").target("v1"));
            let route = match (name, limits) {
                ("requests_limit", _) => route.rate_limit(RateLimit::requests(1 << 50, Per::Month)),
                (_, true) => route.rate_limit(RateLimit::total_tokens(1 << 50, Per::Month)),
                _ => route,
            };
            let table = RouteTable::builder()
                .model_server(server)
                .model_route(route)
                .build()
                .unwrap();
            let handle = RouteTableHandle::new(table);
            let mut layer = ModelRouteLayer::new(handle.clone());
            if observes {
                layer = layer.observer(Nothing);
            }
            if counts {
                layer = layer.observer(Metrics::new(&handle));
            }
            Row { name, layer }
        })
        .collect()
}

fn events() -> VecDeque<Bytes> {
    let event = |n| {
        Bytes::from(format!(
            "data: {{\"id\":\"chatcmpl-a1598ab13fcbac04\",\"object\":\"chat.completion.chunk\",\
             \"created\":1795833026,\"model\":\"org/base\",\"choices\":[{{\"index\":0,\
             \"delta\":{{\"content\":\" word{n}\"}},\"logprobs\":null,\"finish_reason\":null}}]}}\n\n"
        ))
    };
    let mut events: VecDeque<_> = (0..EVENTS).map(event).collect();
    events.push_back(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

/// `times` requests of 1 KB with an answer in JSON.
fn requests(layer: &ModelRouteLayer, times: usize) {
    let engine = service_fn(|request: Request<RouteBody>| {
        black_box(&request);
        let answer = Response::builder().header("content-type", "application/json");
        let body = Frames([Bytes::from_static(ANSWER.as_bytes())].into());
        std::future::ready(Ok::<_, Infallible>(answer.body(body).unwrap()))
    });
    let mut service = layer.layer(engine);
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
    let events = events();
    let engine = service_fn(move |_: Request<RouteBody>| {
        let body = Frames(events.clone());
        let answer = Response::builder().header("content-type", "text/event-stream");
        std::future::ready(Ok::<_, Infallible>(answer.body(body).unwrap()))
    });
    let service = layer.layer(engine);
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
    let is_asked = |row: &Row| asked.first().is_none_or(|name| name == row.name);
    let times = asked
        .get(2)
        .map_or(1, |times| times.parse().expect("a number"));
    for row in rows().iter().filter(|row| is_asked(row)) {
        if asked.get(1).is_none_or(|what| what == "requests") {
            requests(&row.layer, times);
        }
        if asked.get(1).is_none_or(|what| what == "streams") {
            streams(&row.layer, times);
        }
    }
}
