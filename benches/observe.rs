//! What it costs to be told: a routed request of 1 KB with its answer in JSON, and a stream of 1,000
//! events, without listeners, with an observer that does nothing, and with metrics that an exporter
//! for Prometheus records.
//!
//! `cargo bench --bench observe`
#![allow(missing_docs)]

mod support;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::FutureExt;
use http_body_util::Full;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use support::{
    BATCH, chat,
    forward::forward_by,
    frames::{drain, in_events, in_one_piece},
    request, table,
};
use tower::{Layer, Service};
use tower_model_route::{
    AccessLog, AccessStyle, Metrics, ModelRoute, ModelRouteLayer, ModelServer, Observer,
    OnInterruption, RouteTable, RouteTableHandle, Rule, TrafficPolicy,
};

const EVENTS: usize = 1000;

struct Nothing;
impl Observer for Nothing {}

/// Each way of listening, on a layer that nobody listens to.
fn listened(
    layer: impl Fn() -> ModelRouteLayer,
    table: &RouteTable,
) -> [(&'static str, ModelRouteLayer); 4] {
    let metrics = Arc::new(Metrics::new(&RouteTableHandle::new(table.clone())));
    [
        ("nobody", layer()),
        ("observer", layer().observer(Nothing)),
        ("metrics", layer().shared_observer(metrics.clone())),
        (
            // Without a subscriber: what the observer itself costs.
            "metrics_and_log",
            layer()
                .shared_observer(metrics)
                .observer(AccessLog::new(AccessStyle::Text)),
        ),
    ]
}

fn requests(c: &mut Criterion) {
    let mut group = c.benchmark_group("observe_1KB");
    let body = Bytes::from(chat(1 << 10, true).replace("true", "false"));
    let table = table(100);
    let engine = in_one_piece();
    for (name, layer) in listened(|| ModelRouteLayer::new(table.clone()), &table) {
        let mut service = layer.layer(engine.clone());
        group.bench_function(name, |b| {
            b.iter_batched(
                || request().map(|()| Full::new(body.clone())),
                |request| {
                    let answer = service.call(request).now_or_never().unwrap().unwrap();
                    assert_eq!(drain(answer.into_body()), 1);
                },
                BATCH,
            );
        });
    }
    group.finish();
}

fn streams(c: &mut Criterion) {
    let mut group = c.benchmark_group("observe_stream");
    group.throughput(Throughput::Elements(EVENTS as u64));
    let engine = in_events(EVENTS);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let unread = TrafficPolicy::new()
        .stream_idle_timeout(Duration::ZERO)
        .on_interruption(OnInterruption::Pass);
    for (what, policy, forces) in [
        ("unread", unread.clone(), false),
        ("defaults", TrafficPolicy::new(), false),
        ("forced_usage", unread, true),
    ] {
        let server = ModelServer::new("s")
            .endpoint("http://e")
            .traffic_policy(policy);
        let table = RouteTable::builder()
            .model_server(server.force_usage(forces))
            .model_route(
                ModelRoute::new("r")
                    .model_name("m")
                    .rule(Rule::new("all").target("s")),
            )
            .build()
            .unwrap();
        for (name, layer) in listened(|| ModelRouteLayer::new(table.clone()), &table) {
            let service = layer.layer(engine.clone());
            forward_by(&mut group, &format!("{what}/{name}"), service, EVENTS + 1);
        }
    }
    group.finish();
}

fn recorder(_: &mut Criterion) {
    let builder = PrometheusBuilder::new().with_recommended_naming(true);
    let builder = Metrics::BUCKETS
        .iter()
        .try_fold(builder, |builder, (name, buckets)| {
            builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)
        });
    let handle = builder.unwrap().install_recorder().unwrap();
    // As a scrape does it: what was measured takes no memory for ever.
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(500));
            handle.run_upkeep();
        }
    });
}

criterion_group!(benches, recorder, requests, streams);
criterion_main!(benches);
