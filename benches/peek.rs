//! Reading `model` out of a complete body.
//!
//! `cargo bench --bench peek`
#![allow(missing_docs)]

mod support;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use support::{base64, chat, escapes, tiny, tools};
use tower_model_route::JsonBody;

fn peek(c: &mut Criterion) {
    let mut group = c.benchmark_group("peek");
    for (place, last) in [("last", true), ("first", false)] {
        for (kind, body) in [
            ("120B", tiny(last)),
            ("1KB_chat", chat(1 << 10, last)),
            ("16KB_chat", chat(16 << 10, last)),
            ("16KB_tools", tools(16 << 10, last)),
            ("256KB_chat", chat(256 << 10, last)),
            ("256KB_escapes", escapes(256 << 10, last)),
            ("8MB_base64", base64(8 << 20, last)),
        ] {
            group.throughput(Throughput::Bytes(body.len() as u64));
            group.bench_function(BenchmarkId::new(kind, place), |b| {
                b.iter(|| JsonBody::new().read(black_box(body.as_bytes())).is_ok());
            });
            group.bench_function(
                BenchmarkId::new(format!("{kind}_serde_value"), place),
                |b| {
                    b.iter(|| {
                        serde_json::from_slice::<serde_json::Value>(black_box(body.as_bytes()))
                            .is_ok()
                    });
                },
            );
        }
    }
    group.finish();
}

criterion_group!(benches, peek);
criterion_main!(benches);
