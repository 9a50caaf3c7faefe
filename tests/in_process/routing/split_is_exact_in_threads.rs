//! The split under concurrency: as exact as one request after the other.

use std::{collections::BTreeMap, thread};

use test_kit::decision::next;
use tower_model_route::{ModelRoute, ModelServer, RouteTable, Rule, TargetModel};

const THREADS: usize = 8;
const EACH: usize = 5_000;

/// Servers with their weights; those without an endpoint are down.
fn table(targets: &[(&str, u32, bool)]) -> RouteTable {
    let mut table = RouteTable::builder();
    let mut rule = Rule::new("split");
    for &(name, weight, up) in targets {
        let endpoint = up.then(|| format!("http://{name}"));
        table = table.model_server(ModelServer::new(name).endpoints(endpoint));
        rule = rule.target(TargetModel::new(name).weight(weight));
    }
    table
        .model_route(ModelRoute::new("r").model_name("m").rule(rule))
        .build()
        .unwrap()
}

/// How many of `THREADS * EACH` requests of many threads each server gets.
fn counts(table: &RouteTable) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| scope.spawn(|| (0..EACH).map(|_| next(table, "m")).collect::<Vec<_>>()))
            .collect();
        for name in threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
        {
            *counts.entry(name).or_default() += 1;
        }
    });
    counts
}

#[test]
fn seventy_to_thirty() {
    let counts = counts(&table(&[("a", 70, true), ("b", 30, true)]));
    assert_eq!(counts["a"], THREADS * EACH * 7 / 10);
    assert_eq!(counts["b"], THREADS * EACH * 3 / 10);
}

#[test]
fn what_a_target_that_is_down_leaves_is_split_exactly_too() {
    let counts = counts(&table(&[
        ("down", 98, false),
        ("a", 1, true),
        ("b", 1, true),
    ]));
    assert_eq!(counts["a"], counts["b"]);
}

/// However the threads interleave: while a target with a share is up, none of weight 0 is used.
#[test]
fn a_target_of_weight_zero_is_not_used_while_a_sibling_is_up() {
    let counts = counts(&table(&[
        ("zero", 0, true),
        ("down", 99, false),
        ("up", 1, true),
    ]));
    assert_eq!(counts.get("zero"), None, "{counts:?}");
    assert_eq!(counts["up"], THREADS * EACH);
}
