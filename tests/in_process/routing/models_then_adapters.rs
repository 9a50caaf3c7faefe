//! From a name to a route: models, then adapters, each in the order of the configuration.

use test_kit::{
    decision::{any, line},
    request::head,
    table::servers,
};
use tower_model_route::{
    ModelMatch, ModelRoute, ModelServer, RouteTable, Rule, StringMatch, TargetModel,
};

fn route(name: &str) -> ModelRoute {
    ModelRoute::new(name)
}

fn all(server: &str) -> Rule {
    Rule::new("all").target(server)
}

/// Only for the user `x`.
fn only(rule: &str, x: &str, server: &str) -> Rule {
    Rule::new(rule)
        .when(ModelMatch::new().header("user", StringMatch::exact(x)))
        .target(server)
}

fn table() -> RouteTable {
    servers(&["a", "b", "c", "d"])
        .model_route(route("plain").model_name("gpt").rule(all("a")))
        .model_route(route("slashed").model_name("org/gpt").rule(all("b")))
        .model_route(
            route("first")
                .model_name("shared")
                .rule(only("one", "1", "a")),
        )
        .model_route(
            route("second")
                .model_name("shared")
                .rule(only("two", "2", "b"))
                .rule(only("also one", "1", "d")),
        )
        .model_route(
            route("third")
                .model_name("shared")
                .rule(only("three", "3", "c")),
        )
        .model_route(
            route("adapters")
                .model_name("base")
                .lora_adapters(["lora-A", "lora-B"])
                .rule(all("c")),
        )
        .model_route(
            route("conditional adapter")
                .lora_adapter("lora-C")
                .rule(only("one", "1", "a")),
        )
        .model_route(
            route("other adapter")
                .lora_adapter("lora-C")
                .rule(only("two", "2", "b")),
        )
        // A name that is a model here and an adapter there.
        .model_route(route("as adapter").lora_adapter("both").rule(all("d")))
        .model_route(
            route("as model")
                .model_name("both")
                .rule(only("one", "1", "a")),
        )
        // The model of a route is also its own adapter.
        .model_route(
            route("itself")
                .model_name("self")
                .lora_adapter("self")
                .rule(only("one", "1", "a")),
        )
        .build()
        .unwrap()
}

#[test]
fn the_name_the_user_and_where_it_goes() {
    let table = table();
    for (model, user, expected) in [
        ("gpt", "", "plain/all -> a"),
        ("org/gpt", "", "slashed/all -> b"),
        // Names are exact.
        ("GPT", "", "model_not_found"),
        ("gpt ", "", "model_not_found"),
        ("gp", "", "model_not_found"),
        ("gpt/org", "", "model_not_found"),
        ("", "", "model_not_found"),
        // The name of a route, a rule or a server is no model's.
        ("plain", "", "model_not_found"),
        ("a", "", "model_not_found"),
        // Routes that share a name, in their order, each with all its rules.
        ("shared", "1", "first/one -> a"),
        ("shared", "2", "second/two -> b"),
        ("shared", "3", "third/three -> c"),
        ("shared", "4", "route_not_found"),
        // Adapters.
        ("base", "", "adapters/all -> c"),
        ("lora-A", "", "adapters/all -> c (lora)"),
        ("lora-B", "", "adapters/all -> c (lora)"),
        ("lora-a", "", "model_not_found"),
        ("lora-C", "1", "conditional adapter/one -> a (lora)"),
        ("lora-C", "2", "other adapter/two -> b (lora)"),
        ("lora-C", "3", "route_not_found"),
        // A model's routes come before an adapter's, wherever they stand.
        ("both", "1", "as model/one -> a"),
        ("both", "2", "as adapter/all -> d (lora)"),
        // The same rules are tried again, in vain.
        ("self", "1", "itself/one -> a"),
        ("self", "2", "route_not_found"),
    ] {
        let head = head("/v1/completions", &[("user", user)]);
        assert_eq!(
            line(table.decide(&head, model)),
            expected,
            "{model:?} of user {user:?}"
        );
    }
}

#[test]
fn the_first_rule_that_matches_wins() {
    let table = servers(&["a", "b"])
        .model_route(
            route("route")
                .model_name("m")
                .rule(only("first", "1", "a"))
                .rule(only("second", "1", "b"))
                .rule(Rule::new("everyone").target("b"))
                .rule(only("unreachable", "2", "a")),
        )
        .build()
        .unwrap();
    for (user, expected) in [
        ("1", "route/first -> a"),
        ("2", "route/everyone -> b"),
        ("3", "route/everyone -> b"),
    ] {
        let head = head("/", &[("user", user)]);
        assert_eq!(line(table.decide(&head, "m")), expected);
    }
}

/// Rules decide before endpoints do: a rule that matches is not passed over for being down.
#[test]
fn a_matching_rule_without_endpoints_is_a_503_and_not_the_next_rules() {
    let table = servers(&["up"])
        .model_server(ModelServer::new("down"))
        .model_route(route("r").model_name("m").rule(all("down")).rule(all("up")))
        .model_route(route("s").model_name("m").rule(all("up")))
        .model_route(route("t").lora_adapter("m").rule(all("up")))
        .build()
        .unwrap();
    assert_eq!(line(table.decide(&any(), "m")), "no_endpoint");
}

#[test]
fn a_decision_knows_its_names_wherever_they_stand() {
    let table = table();
    for (model, user, target_model) in [("lora-B", "", "lora-B"), ("both", "2", "both")] {
        let head = head("/", &[("user", user)]);
        let decision = table.decide(&head, model).unwrap();
        assert_eq!(decision.requested_model(), model);
        assert_eq!(decision.engine_model(), target_model);
        assert!(decision.is_lora());
        assert_eq!(decision.attempts(), 1);
    }
}

#[test]
fn the_servers_model_is_what_the_engine_is_asked_for_but_for_adapters() {
    let server = |name, model| {
        let server = ModelServer::new(name).endpoint("http://h");
        match model {
            Some(model) => server.model(model),
            None => server,
        }
    };
    let table = RouteTable::builder()
        .model_server(server("renamed", Some("org/real")))
        .model_server(server("same", Some("m")))
        .model_server(server("unnamed", None))
        .model_route(
            route("r")
                .model_name("m")
                .lora_adapter("lora")
                .rule(only("renamed", "1", "renamed"))
                .rule(only("same", "2", "same"))
                .rule(only("unnamed", "3", "unnamed")),
        )
        .build()
        .unwrap();
    for (model, user, expected) in [
        ("m", "1", "org/real"),
        ("m", "2", "m"),
        ("m", "3", "m"),
        ("lora", "1", "lora"),
        ("lora", "2", "lora"),
        ("lora", "3", "lora"),
    ] {
        let head = head("/", &[("user", user)]);
        assert_eq!(table.decide(&head, model).unwrap().engine_model(), expected);
    }
}

#[test]
fn a_decision_outlives_its_table() {
    let table = table();
    let decision = table.decide(&any(), "gpt").unwrap();
    drop(table);
    assert_eq!(decision.endpoint(), "http://a");
    assert_eq!(line(Ok(decision)), "plain/all -> a");
}

/// A decision alone sends nothing.
#[test]
fn deciding_puts_nothing_in_flight() {
    let table = table();
    let _decisions: Vec<_> = (0..3)
        .map(|_| table.decide(&any(), "gpt").unwrap())
        .collect();
    assert!(table.servers().iter().all(|server| server.in_flight() == 0));
}

#[test]
fn endpoints_take_turns() {
    let table = RouteTable::builder()
        .model_server(ModelServer::new("s").endpoints(["http://a", "http://b", "http://c"]))
        .model_route(
            route("r")
                .model_name("m")
                .rule(Rule::new("all").target(TargetModel::new("s"))),
        )
        .build()
        .unwrap();
    let picked: Vec<_> = (0..6)
        .map(|_| table.decide(&any(), "m").unwrap().endpoint().to_owned())
        .collect();
    assert_eq!(picked, ["http://a", "http://b", "http://c"].repeat(2));
}

#[test]
fn the_table_lists_its_routes_in_the_order_in_which_they_are_tried() {
    let table = table();
    let routes = table.config().get_model_routes();
    let names: Vec<_> = routes.iter().map(ModelRoute::get_name).collect();
    assert_eq!(names[..4], ["plain", "slashed", "first", "second"]);
    assert_eq!(routes[3].get_model_name(), Some("shared"));
    let rules = routes[3].get_rules().iter().map(Rule::get_name);
    assert!(rules.eq(["two", "also one"]));
    assert_eq!(routes[6].get_model_name(), None);
    let of = |name| {
        let mut routes = routes.iter();
        routes.find(|route| route.get_name() == name).unwrap()
    };
    assert_eq!(of("adapters").get_lora_adapters(), ["lora-A", "lora-B"]);
    assert!(of("plain").get_lora_adapters().is_empty());
}
