//! Reading `model` out of a complete body, against the ways that others go.
//!
//! `cargo bench --bench peek`
//!
//! What machines without a kernel get (aarch64) is measured on x86-64 too, beside the same yardstick:
//! `RUSTFLAGS="--cfg tower_model_route_portable" cargo bench --bench peek`
#![allow(missing_docs)]

mod support;

use std::{fmt, hint::black_box};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
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
            let body = body.as_bytes();
            group.throughput(Throughput::Bytes(body.len() as u64));
            let mut ways: Vec<(&str, Read)> = vec![(SCANNER, scanner)];
            if last {
                ways.extend([
                    ("serde_visitor", serde_visitor as Read),
                    ("serde_value", serde_value),
                    ("memchr_one_byte", memchr_one_byte),
                ]);
            }
            for (way, read) in ways {
                let name = BenchmarkId::new(format!("{kind}_model_{place}"), way);
                group.bench_function(name, |b| b.iter(|| read(black_box(body))));
            }
        }
    }
    group.finish();
}

const SCANNER: &str = match cfg!(tower_model_route_portable) {
    true => "portable_scanner",
    false => "scanner",
};

/// Whether the model was found.
type Read = fn(&[u8]) -> bool;

/// Strict: to the end of the document.
fn scanner(body: &[u8]) -> bool {
    JsonBody::new().read(body).is_ok()
}

/// The tree that most routers build.
fn serde_value(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(body).is_ok()
}

/// The limit: all bytes are looked at, and nothing is understood.
fn memchr_one_byte(body: &[u8]) -> bool {
    memchr::memchr(0, body).is_none()
}

/// What a careful user of serde_json writes: skips all but the one value, keeps its place.
fn serde_visitor(body: &[u8]) -> bool {
    struct TopLevel;

    impl<'de> Visitor<'de> for TopLevel {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                if key == "model" {
                    found = Some(map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }

    let mut deserializer = serde_json::Deserializer::from_slice(body);
    deserializer
        .deserialize_map(TopLevel)
        .and_then(|found| deserializer.end().map(|()| found))
        .is_ok_and(|found| found.is_some())
}

criterion_group!(benches, peek);
criterion_main!(benches);
