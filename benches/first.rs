//! How soon a request is decided on whose model comes first, while its body still arrives.
//!
//! `cargo bench --bench first`
//!
//! - `read_alone`: from the first byte of the shortest document to its model, found, unescaped and
//!   checked. What a decision takes after the last byte that it needs is less than this: all but
//!   the last step may have been done with the bytes before.
//! - `routed/*`: a whole call through the layer, with a body of which no more comes than its first
//!   chunk. That of `known_model` is the same, with an extractor that looks at nothing. What the
//!   scanner adds is the difference, but for the copy of the name, which both make. It grows
//!   with the chunk: what is at hand is scanned before the request goes on.
#![allow(missing_docs)]

mod support;

use std::{
    convert::Infallible,
    hint::black_box,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{Request, Response, request::Parts};
use http_body::{Body, Frame};
use http_body_util::Full;
use support::{MODEL, chat, request, table};
use tower::{Layer, Service, service_fn};
use tower_model_route::{
    ExtractModel, ExtractedModel, Extraction, JsonBody, ModelRouteLayer, RouteBody,
};

/// A body of which only this chunk has come.
struct Begun(Option<Bytes>);

impl Body for Begun {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.take() {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            None => Poll::Pending,
        }
    }
}

/// Knows the model and where it stands, so that the body is not looked at.
#[derive(Debug)]
struct Known;

impl ExtractModel for Known {
    fn begin(&self, _: &Parts) -> Extraction {
        let start = PREFIX.len();
        let model = ExtractedModel::new(MODEL).json_span(start..start + MODEL.len() + 2);
        Extraction::found(model)
    }
}

const PREFIX: &str = r#"{"model":"#;

fn first(c: &mut Criterion) {
    let mut group = c.benchmark_group("first");
    let shortest = format!(r#"{PREFIX}"{MODEL}"}}"#);
    group.bench_function("read_alone", |b| {
        b.iter(|| JsonBody::new().read(black_box(shortest.as_bytes())).is_ok());
    });

    let long = chat(16 << 10, false);
    let short = &long[..PREFIX.len() + MODEL.len() + 2];
    for (way, layer, chunk) in [
        ("known_model", layer().extract_model(Known), short),
        ("scanned_32B", layer(), short),
        ("scanned_1KB", layer(), &long[..1 << 10]),
        ("scanned_16KB", layer(), &long[..16_000]),
    ] {
        let chunk = Bytes::copy_from_slice(chunk.as_bytes());
        let mut service = layer.layer(service_fn(|request: Request<RouteBody>| {
            black_box(&request);
            std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
        }));
        group.bench_function(format!("routed/{way}"), |b| {
            b.iter_batched(
                || request().map(|()| Begun(Some(chunk.clone()))),
                |request| {
                    let mut call = pin!(service.call(request));
                    let mut cx = Context::from_waker(Waker::noop());
                    // The first time that nothing is there, it asks for another turn.
                    assert!(call.as_mut().poll(&mut cx).is_pending());
                    assert!(call.as_mut().poll(&mut cx).is_ready());
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// Without a time limit, which would need a runtime.
fn layer() -> ModelRouteLayer {
    ModelRouteLayer::new(table(100))
        .extract_model(JsonBody::new())
        .body_timeout(Duration::MAX)
}

criterion_group!(benches, first);
criterion_main!(benches);
