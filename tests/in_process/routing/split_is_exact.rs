//! The split of a rule over its targets, one request after the other.

use std::collections::BTreeMap;

use test_kit::decision::{any, line, next};
use tower_model_route::{ModelRoute, ModelServer, RouteTable, Rule, TargetModel};

/// A rule over servers `a`, `b`, ... of these weights; those of `down` have no endpoint.
fn table(weights: &[Option<u32>], down: &[&str]) -> RouteTable {
    let names = ["a", "b", "c", "d"];
    let mut table = RouteTable::builder();
    let mut rule = Rule::new("split");
    for (&weight, name) in weights.iter().zip(names) {
        let server = ModelServer::new(name);
        table = table.model_server(if down.contains(&name) {
            server
        } else {
            server.endpoint(format!("http://{name}"))
        });
        let target = TargetModel::new(name);
        rule = rule.target(match weight {
            Some(weight) => target.weight(weight),
            None => target,
        });
    }
    table
        .model_route(ModelRoute::new("r").model_name("m").rule(rule))
        .build()
        .unwrap()
}

/// How many of the next `n` requests each server gets.
fn counts(table: &RouteTable, n: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..n {
        *counts.entry(next(table, "m")).or_default() += 1;
    }
    counts
}

fn expected(counts: &[(&str, usize)]) -> BTreeMap<String, usize> {
    let counts = counts.iter().filter(|(_, count)| *count > 0);
    counts
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

#[test]
fn seventy_to_thirty_is_exact_in_every_aligned_hundred() {
    let table = table(&[Some(70), Some(30)], &[]);
    for _ in 0..10 {
        assert_eq!(counts(&table, 100), expected(&[("a", 70), ("b", 30)]));
    }
}

#[test]
fn no_run_is_more_than_one_request_off_its_share() {
    let table = table(&[Some(70), Some(30)], &[]);
    let mut ahead = 0_i32;
    let (mut least, mut most) = (0, 0);
    for _ in 0..1000 {
        // In tenths of a request.
        ahead += if next(&table, "m") == "a" { 3 } else { -7 };
        (least, most) = (least.min(ahead), most.max(ahead));
    }
    assert!(
        most - least <= 10,
        "a run was off by {} tenths",
        most - least
    );
}

#[test]
fn weights_are_relative() {
    for (weights, n, expected_counts) in [
        (vec![Some(1), Some(1)], 10, vec![("a", 5), ("b", 5)]),
        (vec![Some(100), Some(50)], 30, vec![("a", 20), ("b", 10)]),
        (
            vec![Some(50), Some(30), Some(20)],
            100,
            vec![("a", 50), ("b", 30), ("c", 20)],
        ),
        (vec![Some(1), Some(99)], 200, vec![("a", 2), ("b", 198)]),
        // None given: all are equal.
        (vec![None, None], 10, vec![("a", 5), ("b", 5)]),
        (
            vec![None, None, None],
            9,
            vec![("a", 3), ("b", 3), ("c", 3)],
        ),
        // No share at all.
        (vec![Some(0), Some(5)], 50, vec![("b", 50)]),
        (
            vec![Some(3), Some(0), Some(1)],
            40,
            vec![("a", 30), ("c", 10)],
        ),
        // One target, whatever its weight.
        (vec![Some(1)], 3, vec![("a", 3)]),
        (vec![None], 3, vec![("a", 3)]),
    ] {
        let table = table(&weights, &[]);
        assert_eq!(counts(&table, n), expected(&expected_counts), "{weights:?}");
    }
}

#[test]
fn targets_without_endpoints_give_their_share_to_their_siblings() {
    let table_of = |weights: [u32; 3], down: &[&str]| table(&weights.map(Some), down);
    for (weights, down, expected_counts) in [
        // 30 and 20 are 60 and 40 of a hundred.
        ([50, 30, 20], vec!["a"], [("b", 60), ("c", 40)]),
        ([50, 30, 20], vec!["b", "c"], [("a", 100), ("b", 0)]),
        ([50, 30, 20], vec!["c", "b"], [("a", 100), ("c", 0)]),
        ([98, 1, 1], vec!["a"], [("b", 50), ("c", 50)]),
        // A target without a share has none to give, and gets none.
        ([0, 30, 70], vec!["a"], [("b", 30), ("c", 70)]),
        ([0, 30, 70], vec!["b"], [("c", 100), ("a", 0)]),
    ] {
        let table = table_of(weights, &down);
        let context = format!("{weights:?} without {down:?}");
        assert_eq!(counts(&table, 100), expected(&expected_counts), "{context}");
    }
}

#[test]
fn a_target_of_weight_zero_is_the_last_resort() {
    let last = table(&[Some(0), Some(70), Some(30), Some(0)], &["b", "c"]);
    assert_eq!(counts(&last, 10), expected(&[("a", 10)]));
    let the_other = table(&[Some(0), Some(70), Some(30), Some(0)], &["a", "b", "c"]);
    assert_eq!(counts(&the_other, 10), expected(&[("d", 10)]));
}

#[test]
fn without_any_endpoint_it_is_a_503() {
    for (weights, down) in [
        (vec![Some(70), Some(30)], vec!["a", "b"]),
        (vec![Some(0), Some(1)], vec!["a", "b"]),
        (vec![None], vec!["a"]),
    ] {
        let table = table(&weights, &down);
        for _ in 0..3 {
            let error = table.decide(&any(), "m").unwrap_err();
            assert_eq!(error.status(), 503);
            assert_eq!(error.retry_after().map(|wait| wait.as_secs()), Some(5));
            assert_eq!(
                error.message(),
                "no engine for the model `m` is available, try again shortly"
            );
            assert_eq!(line(Err(error)), "no_endpoint");
        }
    }
}

/// Clones of a table are the same table: a gateway has one for each of its services.
#[test]
fn clones_share_the_turn() {
    let table = table(&[Some(1), Some(1)], &[]);
    let clone = table.clone();
    let picked: Vec<_> = (0..4)
        .flat_map(|_| [next(&table, "m"), next(&clone, "m")])
        .collect();
    assert!(
        picked.chunks(2).all(|pair| pair[0] != pair[1]),
        "{picked:?}"
    );
}

/// Each rule has a split of its own, and the models of a route share it.
#[test]
fn rules_do_not_disturb_each_other() {
    let two = |name: &str| {
        Rule::new(name)
            .target(TargetModel::new("a").weight(50))
            .target(TargetModel::new("b").weight(50))
    };
    let server = |name: &str| ModelServer::new(name).endpoint(format!("http://{name}"));
    let table = RouteTable::builder()
        .model_server(server("a"))
        .model_server(server("b"))
        .model_route(
            ModelRoute::new("r")
                .model_name("m")
                .lora_adapter("lora")
                .rule(two("x")),
        )
        .model_route(ModelRoute::new("s").model_name("n").rule(two("y")))
        .build()
        .unwrap();
    let picked: Vec<_> = (0..3)
        .map(|_| (next(&table, "m"), next(&table, "n")))
        .collect();
    assert!(picked.iter().all(|(m, n)| m == n), "in step: {picked:?}");
    assert_ne!(next(&table, "m"), next(&table, "lora"));
}
