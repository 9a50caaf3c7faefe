//! The recommended stack against the layer alone; the live table against a fixed one.
//!
//! `cargo bench --bench stack`
#![allow(missing_docs)]

mod support;

use std::{convert::Infallible, hint::black_box, time::Duration};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::Full;
use support::{MODEL, chat, head, request};
use tower::{Layer, Service, service_fn};
use tower_model_route::{
    ModelRoute, ModelRouteLayer, ModelServer, RouteBody, RouteTable, RouteTableHandle, Rule,
    TrafficPolicy, stack,
};

fn inner()
-> impl Service<Request<RouteBody>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
+ Clone {
    service_fn(|request: Request<RouteBody>| {
        black_box(&request);
        std::future::ready(Ok(Response::new(Full::new(Bytes::from_static(b"ok")))))
    })
}

fn table(policy: TrafficPolicy) -> RouteTable {
    RouteTable::builder()
        .model_server(
            ModelServer::new("server")
                .model("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B")
                .endpoints(["http://10.0.0.1:8000", "http://10.0.0.2:8000"])
                .traffic_policy(policy),
        )
        .model_route(
            ModelRoute::new("route")
                .model_name(MODEL)
                .rule(Rule::new("rule").target("server")),
        )
        .build()
        .unwrap()
}

fn all_limits() -> TrafficPolicy {
    TrafficPolicy::new()
        .timeout(Duration::from_secs(10))
        .stream_idle_timeout(Duration::from_secs(10))
        .max_retries(2)
        .max_in_flight(1000)
        .max_queue(1000)
}

fn call<S>(c: &mut Criterion, name: &str, service: &mut S)
where
    S: Service<Request<Full<Bytes>>>,
{
    let body = Bytes::from(chat(1 << 10, true));
    c.bench_function(name, |b| {
        b.iter_batched(
            || request().map(|()| Full::new(body.clone())),
            |request| service.call(request).now_or_never().is_some(),
            BatchSize::SmallInput,
        );
    });
}

fn stacks(c: &mut Criterion) {
    let plain = || table(TrafficPolicy::new());
    call(
        c,
        "layer_1KB",
        &mut ModelRouteLayer::new(plain()).layer(inner()),
    );
    call(c, "stack_1KB", &mut stack(plain()).service(inner()));
    let limited = || table(all_limits());
    call(
        c,
        "layer_with_limits_1KB",
        &mut ModelRouteLayer::new(limited()).layer(inner()),
    );
    call(
        c,
        "stack_with_retries_1KB",
        &mut stack(limited()).service(inner()),
    );
}

fn handle(c: &mut Criterion) {
    let table = table(TrafficPolicy::new());
    let handle = RouteTableHandle::new(table.clone());
    let head = head();
    c.bench_function("decide_by_table", |b| {
        b.iter(|| black_box(&table).decide(&head, MODEL).is_ok());
    });
    c.bench_function("decide_by_handle", |b| {
        b.iter(|| black_box(&handle).table().decide(&head, MODEL).is_ok());
    });
}

criterion_group!(benches, stacks, handle);
criterion_main!(benches);
