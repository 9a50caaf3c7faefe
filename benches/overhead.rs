//! A routed call against the same call to the bare inner service.
//!
//! `cargo bench --bench overhead`
#![allow(missing_docs)]

mod support;

use std::{convert::Infallible, hint::black_box, ops::Range};

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use http::{Request, Response, request::Parts};
use http_body_util::Full;
use support::{MODEL, chat, request, table};
use tower::{Layer, Service, service_fn};
use tower_model_route::{
    ExtractModel, ExtractedModel, Extraction, JsonBody, ModelRouteLayer, RouteBody,
};

/// Knows the answer, so that the peek costs nothing.
#[derive(Debug)]
struct Known(Range<usize>);

impl ExtractModel for Known {
    fn begin(&self, _: &Parts) -> Extraction {
        Extraction::found(ExtractedModel::new(MODEL).json_span(self.0.clone()))
    }
}

fn inner()
-> impl Service<Request<RouteBody>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
+ Clone {
    service_fn(|request: Request<RouteBody>| {
        black_box(&request);
        std::future::ready(Ok(Response::new(Full::new(Bytes::from_static(b"ok")))))
    })
}

fn overhead(c: &mut Criterion) {
    let mut group = c.benchmark_group("overhead");
    group.bench_function("build_request_with_five_headers", |b| b.iter(request));
    for (size, bytes) in [("1KB", 1 << 10), ("16KB", 16 << 10)] {
        let body = Bytes::from(chat(bytes, true));
        let end = body.len() - 1;
        let span = end - MODEL.len() - 2..end;
        group.bench_function(BenchmarkId::new("peek_alone", size), |b| {
            b.iter(|| JsonBody::new().read(black_box(&body)).is_ok());
        });
        group.bench_function(BenchmarkId::new("bare_service", size), |b| {
            let mut service = inner();
            b.iter_batched(
                || request().map(|()| RouteBody::from(body.clone())),
                |request| service.call(request).now_or_never().is_some(),
                BatchSize::SmallInput,
            );
        });
        for (name, layer) in [
            ("routed", ModelRouteLayer::new(table(100))),
            (
                "routed_without_peek",
                ModelRouteLayer::new(table(100)).extract_model(Known(span)),
            ),
        ] {
            let mut service = layer.layer(inner());
            group.bench_function(BenchmarkId::new(name, size), |b| {
                b.iter_batched(
                    || request().map(|()| Full::new(body.clone())),
                    |request| service.call(request).now_or_never().is_some(),
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, overhead);
criterion_main!(benches);
