//! Random tables and requests: the decision is that of a scan of the configuration.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, sample::select};
use test_kit::request::head;

use super::naive::{Ask, Condition, Config, How, Outcome, RouteConfig, RuleConfig};

// Few names, so that they meet often, in every way.
const MODELS: [&str; 4] = ["a", "b", "c", "ab"];
const HEADERS: [&str; 3] = ["x", "X", "y"];
const VALUES: [&str; 4] = ["", "a", "ab", "ba"];
const PATHS: [&str; 4] = ["/", "/a", "/ab", "/b/a"];
const SERVERS: usize = 4;

fn how(texts: &'static [&'static str]) -> impl Strategy<Value = How> {
    prop_oneof![
        select(texts).prop_map(How::Is),
        select(texts).prop_map(How::BeginsWith),
        select(texts).prop_map(How::Contains),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        3 => (select(&HEADERS[..]), how(&VALUES)).prop_map(|(name, how)| Condition::Header(name, how)),
        2 => how(&PATHS).prop_map(Condition::Path),
        1 => select(&MODELS[..]).prop_map(Condition::Model),
    ]
}

fn rule() -> impl Strategy<Value = RuleConfig> {
    let weight = prop_oneof![Just(0_u32), 1..=5_u32, Just(100)];
    let targets = prop::collection::btree_map(0..SERVERS, weight, 1..=SERVERS)
        .prop_filter("not all zero", |targets| {
            targets.values().any(|&weight| weight > 0)
        })
        .prop_map(|targets| targets.into_iter().collect::<Vec<_>>())
        .prop_shuffle();
    (prop::collection::vec(condition(), 0..3), targets).prop_map(|(conditions, targets)| {
        RuleConfig {
            conditions,
            targets,
        }
    })
}

fn route() -> impl Strategy<Value = RouteConfig> {
    (
        prop::option::of(select(&MODELS[..])),
        prop::collection::btree_set(select(&MODELS[..]), 0..3),
        prop::collection::vec(rule(), 1..4),
    )
        .prop_filter("some name", |(model, adapters, _)| {
            model.is_some() || !adapters.is_empty()
        })
        .prop_map(|(model, adapters, rules)| RouteConfig {
            model,
            adapters: adapters.into_iter().collect(),
            rules,
        })
}

fn config() -> impl Strategy<Value = Config> {
    (
        prop::collection::vec(prop::bool::weighted(0.7), SERVERS),
        prop::collection::vec(route(), 0..6),
    )
        .prop_map(|(servers, routes)| Config { servers, routes })
}

fn ask() -> impl Strategy<Value = Ask> {
    (
        select(&MODELS[..]),
        select(&PATHS[..]),
        prop::collection::vec((select(&HEADERS[..]), select(&VALUES[..])), 0..3),
    )
        .prop_map(|(model, path, headers)| Ask {
            model,
            path,
            headers,
        })
}

/// The outcome of the table under test, in the words of the scan; a server stands alone.
fn outcome(table: &tower_model_route::RouteTable, ask: &Ask) -> Outcome {
    let head = head(ask.path, &ask.headers);
    match table.decide(&head, ask.model) {
        Ok(decision) => {
            let number = |name: &str| name.parse().unwrap();
            assert_eq!(decision.requested_model(), ask.model);
            assert_eq!(
                decision.endpoint(),
                format!("http://h{}", decision.model_server())
            );
            Outcome::Goes(
                number(decision.route()),
                number(decision.rule()),
                decision.is_lora(),
                vec![number(decision.model_server())],
            )
        }
        Err(error) => match error.kind().code() {
            "model_not_found" => Outcome::ModelNotFound,
            "route_not_found" => Outcome::RouteNotFound,
            "no_endpoint" => Outcome::NoEndpoint,
            code => panic!("{code}"),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_table_decides_as_a_scan_does(
        config in config(), asks in prop::collection::vec(ask(), 1..20),
    ) {
        let table = config.table();
        for ask in asks {
            let (found, expected) = (outcome(&table, &ask), config.decide(&ask));
            match (&found, &expected) {
                (Outcome::Goes(.., server), Outcome::Goes(route, rule, lora, servers)) => {
                    prop_assert!(servers.contains(&server[0]), "{found:?}, not {expected:?}");
                    prop_assert_eq!(
                        &Outcome::Goes(*route, *rule, *lora, server.clone()),
                        &found
                    );
                }
                _ => prop_assert_eq!(&found, &expected),
            }
        }
    }

    /// Whatever the table, a rule's requests are split by the weights of those that are up.
    #[test]
    fn shares_are_exact_over_a_cycle(rule in rule(), servers in prop::collection::vec(any::<bool>(), SERVERS)) {
        let rule = RuleConfig { conditions: Vec::new(), ..rule };
        let up: BTreeMap<usize, u32> = rule
            .targets
            .iter()
            .copied()
            .filter(|(server, weight)| servers[*server] && *weight > 0)
            .collect();
        prop_assume!(!up.is_empty());
        let route = RouteConfig { model: Some("a"), adapters: Vec::new(), rules: vec![rule] };
        let table = Config { servers, routes: vec![route] }.table();
        let ask = Ask { model: "a", path: "/", headers: Vec::new() };
        let total: u32 = up.values().sum();
        let mut counts = BTreeMap::new();
        for _ in 0..2 * total {
            if let Outcome::Goes(.., server) = outcome(&table, &ask) {
                *counts.entry(server[0]).or_insert(0) += 1;
            }
        }
        for count in counts.values_mut() {
            *count /= 2;
        }
        prop_assert_eq!(counts, up);
    }
}

/// The properties are worth something only if all outcomes come up.
#[test]
fn the_random_tables_have_every_outcome() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..300 {
        let config = config().new_tree(&mut runner).unwrap().current();
        let ask = ask().new_tree(&mut runner).unwrap().current();
        seen.insert(match config.decide(&ask) {
            Outcome::ModelNotFound => "model not found",
            Outcome::RouteNotFound => "route not found",
            Outcome::NoEndpoint => "no endpoint",
            Outcome::Goes(.., false, _) => "by model",
            Outcome::Goes(.., true, _) => "by adapter",
        });
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
}
