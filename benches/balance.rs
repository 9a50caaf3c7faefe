//! Choosing an endpoint: what a decision costs with 1,000 endpoints, less what it costs with one.
//!
//! What goes by the prompt is measured with 16 KB of it: `read` alone, which finds its blocks and
//! hashes them, then with a choice among 1,000 endpoints that have seen such prompts (`choose`),
//! and with the lease, by which the endpoint is counted up and remembered (`take`).
//!
//! `cargo bench --bench balance`
#![allow(missing_docs)]

mod support;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderValue, request::Parts};
use support::head;
use tower_model_route::{
    Balance, Endpoint, HashKey, ModelRoute, ModelServer, PrefixCache, RouteTable, Rule, internal,
};

/// So many sessions take turns: more than the caches' favourites.
const SESSIONS: usize = 4096;

fn endpoint_choice(c: &mut Criterion) {
    let heads = heads();
    let session = HashKey::Header("x-session".to_owned());
    let mut group = c.benchmark_group("balance");
    for (name, balance, weights) in [
        ("least_request", Balance::LeastRequest, 1),
        ("least_request_weighted", Balance::LeastRequest, 3),
        ("least_tokens", Balance::LeastTokens, 1),
        ("round_robin", Balance::RoundRobin, 1),
        ("random", Balance::Random, 1),
        ("peak_ewma", Balance::PeakEwma, 1),
        (
            "consistent_hash",
            Balance::ConsistentHash(session.into()),
            1,
        ),
    ] {
        for endpoints in [1, 3, 1000] {
            let table = table(&balance, endpoints, weights);
            let mut heads = heads.iter().cycle();
            group.bench_function(BenchmarkId::new(name, endpoints), |b| {
                b.iter(|| {
                    heads
                        .next()
                        .is_some_and(|head| table.decide(head, black_box("m")).is_ok())
                });
            });
        }
    }
    group.finish();
}

fn prompts(c: &mut Criterion) {
    let head = head();
    let mut group = c.benchmark_group("prompt");
    for (name, bodies) in [
        ("one_text", conversations(1)),
        ("120_messages", conversations(120)),
    ] {
        let balance = Balance::PrefixCache(PrefixCache::new());
        let table = table(&balance, 1000, 1);
        let takes = |body: &String| internal::takes(&table, &head, "m", body.as_bytes());
        assert!(bodies.iter().all(takes));
        let mut bodies = bodies.iter().cycle();
        let mut next = || bodies.next().map_or("", |body| body.as_str()).as_bytes();
        group.bench_function(BenchmarkId::new("read", name), |b| {
            b.iter(|| internal::blocks(next()));
        });
        group.bench_function(BenchmarkId::new("choose", name), |b| {
            b.iter(|| internal::chooses(&table, &head, "m", next()));
        });
        group.bench_function(BenchmarkId::new("take", name), |b| {
            b.iter(|| internal::takes(&table, &head, "m", next()));
        });
    }
    group.finish();
}

/// Different ones of 16 KB, in so many messages.
fn conversations(messages: usize) -> Vec<String> {
    let conversation = |number: usize| {
        let text = format!("{number} ") + &"What is it? ".repeat(16_384 / 12);
        let each = 16_384 / messages - if messages > 1 { 30 } else { 0 };
        let message = |at: usize| {
            let text = &text[at % 7..][..each.min(text.len() - 7)];
            format!(r#"{{"role":"user","content":"{text}"}}"#)
        };
        let messages = (0..messages).map(message).collect::<Vec<_>>().join(",");
        format!(r#"{{"model":"m","messages":[{messages}]}}"#)
    };
    (0..64)
        .map(|number| conversation(number * 11_111))
        .collect()
}

/// The weights of the endpoints go from 1 to `weights` in turn.
fn table(balance: &Balance, endpoints: u32, weights: u32) -> RouteTable {
    let server = (0..endpoints).fold(ModelServer::new("s"), |server, i| {
        let uri = format!("http://10.0.{}.{}:8000", i / 250, i % 250);
        server.endpoint(Endpoint::new(uri).weight(1 + i % weights))
    });
    RouteTable::builder()
        .model_server(server.balance(balance.clone()))
        .model_route(
            ModelRoute::new("r")
                .model_name("m")
                .rule(Rule::new("all").target("s")),
        )
        .build()
        .expect("a valid table")
}

fn heads() -> Vec<Parts> {
    let head = |session| {
        let mut head = head();
        let session = format!("session-{session:016x}");
        let session = HeaderValue::try_from(session).expect("a valid header");
        head.headers.insert("x-session", session);
        head
    };
    (0..SESSIONS).map(head).collect()
}

criterion_group!(benches, endpoint_choice, prompts);
criterion_main!(benches);
