//! The decision: look-up, rules, split and endpoint, without a body.
//!
//! `cargo bench --bench decide`
#![allow(missing_docs)]

mod support;

use std::{collections::HashMap, hint::black_box};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use support::{MODEL, head, names, table};
use tower_model_route::{ModelMatch, ModelRoute, ModelServer, RouteTable, Rule, StringMatch};

fn hot_name(c: &mut Criterion) {
    let mut group = c.benchmark_group("decide_hot");
    let head = head();
    for routes in [1, 100, 10_000] {
        let table = table(routes);
        let name = names(1).remove(0);
        group.bench_function(BenchmarkId::new("simple", routes), |b| {
            b.iter(|| table.decide(&head, black_box(&name)).is_ok());
        });
        group.bench_function(
            BenchmarkId::new("two_header_rules_and_split", routes),
            |b| {
                b.iter(|| table.decide(&head, black_box(MODEL)).is_ok());
            },
        );
    }
    group.finish();
}

fn rotating_names(c: &mut Criterion) {
    let mut group = c.benchmark_group("decide_rotating");
    let head = head();
    for routes in [100, 10_000] {
        let table = table(routes);
        let names = names(routes);
        // Filled in the same order as the table: both find their keys equally far apart.
        let map: HashMap<String, usize> = names
            .iter()
            .enumerate()
            .map(|(i, name)| (name.clone(), i))
            .collect();
        let names = shuffled(names);
        let mut turn = names.iter().cycle();
        group.bench_function(BenchmarkId::new("decide", routes), |b| {
            b.iter(|| {
                turn.next()
                    .is_some_and(|name| table.decide(&head, name).is_ok())
            });
        });
        let mut turn = names.iter().cycle();
        group.bench_function(BenchmarkId::new("bare_hash_map", routes), |b| {
            b.iter(|| turn.next().and_then(|name| map.get(name).copied()));
        });
    }
    group.finish();
}

fn regex_rules(c: &mut Criterion) {
    let head = head();
    let mut route = ModelRoute::new("r").model_name("m");
    for i in 0..8 {
        let pattern = StringMatch::regex(format!("^(gold|tier-{i})$"));
        route = route.rule(
            Rule::new(format!("rule-{i}"))
                .when(ModelMatch::new().header("user-type", pattern))
                .target("s"),
        );
    }
    let table = RouteTable::builder()
        .model_server(ModelServer::new("s").endpoint("http://h"))
        .model_route(route.rule(Rule::new("default").target("s")))
        .build()
        .expect("a valid table");
    c.bench_function("decide_after_8_regex_rules", |b| {
        b.iter(|| table.decide(&head, black_box("m")).is_ok());
    });
}

/// The same order in every run, but not the order of insertion.
fn shuffled(mut names: Vec<String>) -> Vec<String> {
    let mut seed = 1_u64;
    for i in (1..names.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        names.swap(i, (seed >> 33) as usize % (i + 1));
    }
    names
}

criterion_group!(benches, hot_name, rotating_names, regex_rules);
criterion_main!(benches);
