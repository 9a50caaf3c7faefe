//! Tables that look odd and are right, and what they show of themselves.

use test_kit::{
    decision::{any, line},
    table::servers,
};
use tower_model_route::{ModelMatch, ModelRoute, ModelServer, RouteTable, Rule, TargetModel};

fn all() -> Rule {
    Rule::new("all").target("a")
}

fn route() -> ModelRoute {
    ModelRoute::new("r").model_name("m")
}

#[test]
fn odd_but_valid() {
    assert!(RouteTable::builder().build().is_ok(), "an empty table");
    assert!(
        RouteTable::builder()
            .model_server(ModelServer::new("unused"))
            .build()
            .is_ok(),
        "a server without an endpoint, which nothing uses"
    );
    for route in [
        ModelRoute::new("adapters only")
            .lora_adapter("x")
            .rule(all()),
        ModelRoute::new("its own adapter")
            .model_name("x")
            .lora_adapter("x")
            .rule(all()),
        route().rule(all()).rule(all()),
        route().rule(all().when(ModelMatch::new())),
        ModelRoute::new("a")
            .model_name("a")
            .rule(Rule::new("a").target("a")),
        ModelRoute::new("ünï\n\"cödé\"").model_name(" ").rule(all()),
    ] {
        let name = format!("{route:?}");
        // The same route twice: only names of servers are unique.
        let twice = servers(&["a"])
            .model_route(route.clone())
            .model_route(route);
        assert!(twice.build().is_ok(), "{name}");
    }
    for weights in [[0, 100], [100, 1]] {
        let targets = ["a", "b"].into_iter().zip(weights);
        let rule = targets.fold(Rule::new("x"), |rule, (name, weight)| {
            rule.target(TargetModel::new(name).weight(weight))
        });
        assert!(builds(route().rule(rule)));
    }
    assert!(builds(
        route().rule(Rule::new("x").target(TargetModel::new("a").weight(1)))
    ));
}

fn builds(route: ModelRoute) -> bool {
    servers(&["a", "b"]).model_route(route).build().is_ok()
}

#[test]
fn an_empty_table_knows_no_model() {
    let table = RouteTable::builder().build().unwrap();
    assert_eq!(line(table.decide(&any(), "m")), "model_not_found");
    assert!(table.servers().is_empty());
}

#[test]
fn snapshots_stand_in_the_order_of_the_configuration() {
    let table = servers(&["b", "a"])
        .model_server(ModelServer::new("c").endpoints(["http://C:80/x/", "https://c:443"]))
        .build()
        .unwrap();
    let shown: Vec<_> = table
        .servers()
        .iter()
        .map(|server| {
            let uris: Vec<_> = server
                .endpoints()
                .iter()
                .map(|e| e.uri().to_owned())
                .collect();
            (server.name().to_owned(), uris.join(" "))
        })
        .collect();
    let expected = [
        ("b", "http://b"),
        ("a", "http://a"),
        ("c", "http://c/x https://c"),
    ];
    assert_eq!(
        shown,
        expected.map(|(name, uris)| (name.to_owned(), uris.to_owned()))
    );
}
