//! Explaining takes no turn and counts nothing.

use tower_model_route::{ModelServer, RouteTable, Rule, TargetModel};

use super::tables::{chat, one, servers};

/// A split over servers, one of which has a rotation of its own.
fn table() -> RouteTable {
    let targets = [("small", 5), ("large", 3), ("empty", 2)];
    let rule = targets
        .iter()
        .fold(Rule::new("x"), |rule, &(name, weight)| {
            rule.target(TargetModel::new(name).weight(weight))
        });
    one(rule)
}

fn decisions(table: &RouteTable, explaining: bool) -> Vec<String> {
    (0..100)
        .map(|_| {
            if explaining {
                for _ in 0..3 {
                    _ = table.explain(&chat(&[]), "m").to_string();
                }
            }
            let decision = table.decide(&chat(&[]), "m").unwrap();
            decision.model_server().to_owned()
        })
        .collect()
}

#[test]
fn decisions_are_the_same_with_explanations_in_between() {
    assert_eq!(decisions(&table(), true), decisions(&table(), false));
}

#[test]
fn no_turn_of_the_endpoints_is_taken() {
    let endpoints = |explaining: bool| {
        let rule = Rule::new("x").target("turns");
        let table = servers()
            .model_server(
                ModelServer::new("turns")
                    .endpoints(["http://a", "http://b", "http://c"])
                    .balance(tower_model_route::Balance::RoundRobin),
            )
            .model_route(
                tower_model_route::ModelRoute::new("r")
                    .model_name("m")
                    .rule(rule),
            )
            .build()
            .unwrap();
        let next = || {
            if explaining {
                _ = table.explain(&chat(&[]), "m");
            }
            table.decide(&chat(&[]), "m").unwrap().endpoint().to_owned()
        };
        (0..9).map(|_| next()).collect::<Vec<_>>()
    };
    assert_eq!(endpoints(true), endpoints(false));
}

#[test]
fn nothing_is_counted() {
    let table = table();
    _ = table.explain(&chat(&[]), "m");
    for server in table.servers() {
        for endpoint in server.endpoints() {
            assert_eq!((endpoint.in_flight(), endpoint.requests()), (0, 0));
        }
    }
}
