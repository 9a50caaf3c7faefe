//! `RouteTable::lint`: each warning where it is due, and silence where it is not.

use std::time::Duration;

use tower_model_route::{
    Balance, Endpoint, LintKind, ModelMatch, ModelRoute, ModelServer, Per, RateLimit, RouteTable,
    RouteTableBuilder, Rule, StringMatch, TargetModel, TrafficPolicy, WithoutModel,
};

/// A table with two ModelServers, `a` and `b`, of two endpoints each.
fn two() -> RouteTableBuilder {
    ["a", "b"]
        .iter()
        .fold(RouteTable::builder(), |table, name| {
            let endpoints = [format!("http://{name}1"), format!("http://{name}2")];
            table.model_server(ModelServer::new(*name).endpoints(endpoints))
        })
}

/// A route for `m` to both.
fn route(rules: impl IntoIterator<Item = Rule>) -> ModelRoute {
    let route = ModelRoute::new("r").model_name("m");
    rules.into_iter().fold(route, ModelRoute::rule)
}

fn both(name: &str) -> Rule {
    Rule::new(name).target("a").target("b")
}

fn when(name: &str, conditions: ModelMatch) -> Rule {
    both(name).when(conditions)
}

fn header(value: StringMatch) -> ModelMatch {
    ModelMatch::new().header("x-tier", value)
}

/// `kind place` of each.
fn lints(table: RouteTableBuilder) -> Vec<String> {
    let table = table.build().unwrap();
    let lints = table.lint();
    lints
        .iter()
        .map(|lint| format!("{} {}", lint.kind().code(), lint.place()))
        .collect()
}

fn unreachable(rules: impl IntoIterator<Item = Rule>) -> Vec<String> {
    lints(two().model_route(route(rules)))
        .iter()
        .map(|line| {
            let place = line.strip_prefix("unreachable-rule ModelRoute \"r\", ");
            place.unwrap_or_else(|| panic!("{line}")).to_owned()
        })
        .collect()
}

#[test]
fn a_table_as_it_should_be_has_none() {
    let table = two().model_route(
        route([
            when("gold", header(StringMatch::exact("gold"))),
            when("silver", header(StringMatch::regex("^(silver|bronze)$"))),
            both("rest"),
        ])
        .lora_adapter("lora"),
    );
    assert_eq!(lints(table), [""; 0]);
    assert_eq!(lints(RouteTable::builder()), [""; 0]);
}

/// Requests without a model meet no condition on it.
#[test]
fn a_route_for_requests_without_a_model_takes_some() {
    let asks = |name: &str| when(name, ModelMatch::new().body_model("m"));
    let unnamed = |rules: Vec<Rule>| {
        let other = ModelRoute::new("other").model_name("o").rule(both("all"));
        let table = two().model_route(route(rules)).model_route(other);
        lints(table.without_model(WithoutModel::Route("r".to_owned())))
    };
    let none = ["unreachable-without-model without_model"];
    assert_eq!(unnamed(vec![asks("x")]), none);
    let gold = || header(StringMatch::exact("gold"));
    let both_of = asks("y").when(gold().body_model("m"));
    assert_eq!(unnamed(vec![both_of, asks("x")]), none);
    assert_eq!(unnamed(vec![when("x", gold()), asks("y")]), [""; 0]);
    // Only they come past the first rule.
    assert_eq!(unnamed(vec![asks("x"), both("y")]), [""; 0]);
    let behind = unnamed(vec![asks("x"), both("y"), both("z")]);
    assert_eq!(behind, ["unreachable-rule ModelRoute \"r\", rule \"z\""]);
    // All of one name take them.
    let named = |rule| route([rule]).model_name("n");
    let table = two()
        .model_route(route([asks("x")]))
        .model_route(named(both("y")));
    let table = table.without_model(WithoutModel::Route("r".to_owned()));
    assert!(!lints(table).iter().any(|lint| none.contains(&&**lint)));
    // To others it does not matter.
    for what in [WithoutModel::Reject, WithoutModel::Model("m".to_owned())] {
        let table = two().model_route(route([asks("x")])).without_model(what);
        assert_eq!(lints(table), [""; 0]);
    }
}

#[test]
fn limits_that_are_too_small_or_that_nothing_meets() {
    let of = |limit| lints(two().model_route(route([both("all")]).rate_limit(limit)));
    let at =
        |kind: &str, words: &str| [format!("{kind} ModelRoute \"r\", rate limit #1 ({words})")];
    let small = "small-limit";
    let output = RateLimit::output_tokens(255, Per::Day);
    assert_eq!(of(output), at(small, "255 output tokens per day"));
    let total = RateLimit::total_tokens(100, Per::Second);
    assert_eq!(of(total), at(small, "100 tokens per second"));
    let input = RateLimit::input_tokens(1, Per::Hour);
    assert_eq!(of(input), at(small, "1 input tokens per hour"));
    for limit in [
        RateLimit::output_tokens(256, Per::Day),
        RateLimit::requests(1, Per::Day),
        RateLimit::concurrent_requests(1),
    ] {
        assert_eq!(of(limit), [""; 0]);
    }
    let behind = ModelRoute::new("behind")
        .model_name("m")
        .rule(both("never"));
    let limit = RateLimit::requests(9, Per::Day);
    let table = two()
        .model_route(route([both("all")]))
        .model_route(behind.rate_limit(limit));
    assert_eq!(
        lints(table),
        [
            "unreachable-limit ModelRoute \"behind\", rate limit #1 (9 requests per day)",
            "unreachable-rule ModelRoute \"behind\", rule \"never\"",
        ]
    );
}

#[test]
fn what_stands_behind_a_rule_without_conditions_is_never_reached() {
    let exact = || header(StringMatch::exact("gold"));
    assert_eq!(
        unreachable([
            when("gold", exact()),
            both("all"),
            both("never"),
            when("nor this", exact())
        ]),
        ["rule \"never\"", "rule \"nor this\""]
    );
}

#[test]
fn so_is_what_asks_for_more_than_an_earlier_rule() {
    let uri = |path: &str| ModelMatch::new().uri(StringMatch::prefix(path));
    for (wide, narrow) in [
        (
            header(StringMatch::exact("a")),
            header(StringMatch::exact("a")),
        ),
        (
            header(StringMatch::prefix("a")),
            header(StringMatch::exact("ab")),
        ),
        (
            header(StringMatch::prefix("a")),
            header(StringMatch::prefix("ab")),
        ),
        (
            header(StringMatch::regex("^a")),
            header(StringMatch::exact("ab")),
        ),
        (
            header(StringMatch::regex("^a")),
            header(StringMatch::regex("^a")),
        ),
        (uri("/v1"), uri("/v1/chat")),
        (
            uri("/v1"),
            uri("/v1/chat").header("x", StringMatch::exact("a")),
        ),
        (
            ModelMatch::new().body_model("m"),
            header(StringMatch::exact("a")),
        ),
        (
            ModelMatch::new().header("X-Tier", StringMatch::exact("a")),
            header(StringMatch::exact("a")),
        ),
    ] {
        let found = unreachable([when("wide", wide.clone()), when("narrow", narrow.clone())]);
        assert_eq!(found, ["rule \"narrow\""], "{wide:?} {narrow:?}");
    }
}

#[test]
fn what_can_be_reached_is_not_reported() {
    let uri = |path: &str| ModelMatch::new().uri(StringMatch::prefix(path));
    for (first, second) in [
        (
            header(StringMatch::exact("a")),
            header(StringMatch::exact("b")),
        ),
        (
            header(StringMatch::exact("ab")),
            header(StringMatch::prefix("a")),
        ),
        (
            header(StringMatch::prefix("ab")),
            header(StringMatch::prefix("a")),
        ),
        (
            header(StringMatch::regex("^b")),
            header(StringMatch::exact("ab")),
        ),
        (
            header(StringMatch::regex("^a")),
            header(StringMatch::prefix("a")),
        ),
        (uri("/v1").header("x", StringMatch::exact("a")), uri("/v1")),
        (
            ModelMatch::new().header("y", StringMatch::exact("a")),
            header(StringMatch::exact("a")),
        ),
    ] {
        let found = unreachable([when("first", first.clone()), when("second", second.clone())]);
        assert_eq!(found, [""; 0], "{first:?} {second:?}");
    }
}

#[test]
fn a_rule_counts_as_reached_if_it_is_by_any_of_its_names() {
    let by_name = |model: &str| ModelMatch::new().body_model(model);
    let with_adapter = |rules: Vec<Rule>| two().model_route(route(rules).lora_adapter("lora"));
    // The first takes all of m and nothing of lora.
    let rules = vec![when("base", by_name("m")), both("adapter")];
    assert_eq!(lints(with_adapter(rules)), [""; 0]);
    let rules = vec![
        when("base", by_name("m")),
        when("other", by_name("typo")),
        both("rest"),
    ];
    assert_eq!(
        lints(with_adapter(rules)),
        ["unreachable-rule ModelRoute \"r\", rule \"other\""]
    );
}

#[test]
fn a_preference_for_a_zone_needs_one() {
    let table = |own: Option<&str>, zone: &str| {
        let near = Endpoint::new("http://c1").zone(zone);
        let server = ModelServer::new("c")
            .endpoints([near, "http://c2".into()])
            .traffic_policy(TrafficPolicy::new().prefer_zone(16));
        let route = ModelRoute::new("r")
            .model_name("m")
            .rule(Rule::new("all").target("c"));
        let table = RouteTable::builder()
            .model_server(server)
            .model_route(route);
        own.into_iter().fold(table, |table, own| table.zone(own))
    };
    assert_eq!(lints(table(Some("a"), "a")), [""; 0]);
    let warning = r#"zone-without-effect ModelServer "c", traffic_policy"#;
    assert_eq!(lints(table(None, "a")), [warning]);
    assert_eq!(lints(table(Some("a"), "b")), [warning]);
}

#[test]
fn load_reports_need_a_balance_that_compares_load() {
    let table = |balance: Balance| {
        let server = ModelServer::new("c")
            .endpoints(["http://c1", "http://c2"])
            .load_reports(true)
            .balance(balance);
        let route = ModelRoute::new("r")
            .model_name("m")
            .rule(Rule::new("all").target("c"));
        RouteTable::builder()
            .model_server(server)
            .model_route(route)
    };
    assert_eq!(lints(table(Balance::LeastTokens)), [""; 0]);
    let warning = r#"reports-without-effect ModelServer "c", balance"#;
    assert_eq!(lints(table(Balance::RoundRobin)), [warning]);
}

#[test]
fn routes_of_one_name_are_one_behind_the_other() {
    let table = two()
        .model_route(route([both("all")]))
        .model_route(ModelRoute::new("s").model_name("m").rule(both("never")))
        .model_route(ModelRoute::new("t").model_name("n").rule(both("other")))
        .build()
        .unwrap();
    let lints = table.lint();
    assert_eq!(lints.len(), 1);
    assert_eq!(
        lints[0].to_string(),
        "ModelRoute \"s\", rule \"never\": it is never reached: all that it matches goes to the \
         rule \"all\" of the ModelRoute \"r\" before it"
    );
}

#[test]
fn an_adapter_with_the_name_of_a_base_model_is_hidden() {
    let table = two()
        .model_route(
            ModelRoute::new("adapters")
                .lora_adapters(["x", "m"])
                .rule(both("all")),
        )
        .model_route(route([both("all")]));
    assert_eq!(
        lints(table),
        ["hidden-adapter ModelRoute \"adapters\", LoRA adapter \"m\""]
    );
}

#[test]
fn routes_of_equal_name_are_reported_at_the_second() {
    let table = two()
        .model_route(route([both("all")]))
        .model_route(ModelRoute::new("r").model_name("n").rule(both("all")));
    assert_eq!(lints(table), ["duplicate-route-name ModelRoute \"r\""]);
}

#[test]
fn servers_that_do_nothing_are_reported() {
    let table = two()
        .model_server(ModelServer::new("idle").endpoint("http://i"))
        .model_server(ModelServer::new("empty"))
        .model_server(ModelServer::new("spare").endpoint("http://s"))
        .model_route(route([both("all").target("empty").fallback("spare")]));
    assert_eq!(
        lints(table),
        [
            "unused-model-server ModelServer \"idle\"",
            "no-endpoints ModelServer \"empty\"",
        ]
    );
}

#[test]
fn weights_of_0_are_reported() {
    let rule = Rule::new("x")
        .target(TargetModel::new("a").weight(0))
        .target(TargetModel::new("b").weight(1));
    assert_eq!(
        lints(two().model_route(route([rule]))),
        ["zero-weight ModelRoute \"r\", rule \"x\", target \"a\""]
    );
}

#[test]
fn regexes_without_an_anchor_are_reported_where_they_stand() {
    let rule = when(
        "x",
        header(StringMatch::regex("premium")).uri(StringMatch::regex("^/v1/")),
    );
    let table = two().model_route(route([rule])).build().unwrap();
    let lints = table.lint();
    assert_eq!(lints.len(), 1);
    assert_eq!(lints[0].kind(), LintKind::SuspectRegex);
    assert_eq!(
        lints[0].to_string(),
        "ModelRoute \"r\", rule \"x\", header \"x-tier\": \"premium\" is not anchored and matches \
         anywhere in the value, as in \"not-premium-x\": write \"^premium$\" for the whole value"
    );
}

#[test]
fn times_that_contradict_each_other_are_reported() {
    let seconds = Duration::from_secs;
    let server = |name: &str, policy| {
        ModelServer::new(name)
            .endpoints([format!("http://{name}1"), format!("http://{name}2")])
            .traffic_policy(policy)
    };
    let table = |total| {
        RouteTable::builder()
            .model_server(server(
                "first",
                TrafficPolicy::new()
                    .total_timeout(seconds(total))
                    .timeout(seconds(10)),
            ))
            .model_server(server("second", TrafficPolicy::new().timeout(seconds(20))))
            .model_route(route([Rule::new("x").target("first").fallback("second")]))
    };
    assert_eq!(
        lints(table(5)),
        [
            "fallback-timeout-beyond-total ModelRoute \"r\", rule \"x\", fallback \"second\"",
            "timeout-beyond-total ModelServer \"first\", traffic_policy",
        ]
    );
    assert_eq!(lints(table(10)).len(), 1);
    assert_eq!(lints(table(20)), [""; 0]);
}

#[test]
fn times_of_streams_that_never_come_are_reported() {
    let seconds = Duration::from_secs;
    let lints = |policy: TrafficPolicy| {
        let server = ModelServer::new("s").endpoints(["http://a", "http://b"]);
        lints(
            RouteTable::builder()
                .model_server(server.traffic_policy(policy))
                .model_route(route([Rule::new("x").target("s")])),
        )
    };
    let reported = ["unreachable-stream-time ModelServer \"s\", traffic_policy"];
    let policy = || TrafficPolicy::new().first_event_timeout(seconds(20));
    for policy in [
        policy().first_event_slow(seconds(20)),
        policy().timeout(seconds(20)),
        policy().total_timeout(seconds(20)),
        TrafficPolicy::new()
            .first_event_gate(true)
            .first_event_slow(seconds(9))
            .total_timeout(seconds(8)),
    ] {
        assert_eq!(lints(policy.clone()), reported, "{policy:?}");
    }
    for policy in [
        policy()
            .first_event_slow(seconds(5))
            .timeout(seconds(19))
            .total_timeout(seconds(21)),
        // These begin at other times: at the head, at what the client got last.
        policy().stream_idle_timeout(seconds(10)),
        policy().sse_keepalive(seconds(30)),
        TrafficPolicy::new()
            .sse_keepalive(seconds(300))
            .first_event_slow(seconds(300)),
        TrafficPolicy::new()
            .first_event_slow(seconds(9))
            .total_timeout(seconds(8)),
        TrafficPolicy::new()
            .sse_keepalive(seconds(400))
            .stream_idle_timeout(Duration::ZERO),
    ] {
        assert_eq!(lints(policy.clone()), [""; 0], "{policy:?}");
    }
}

#[test]
fn retries_need_a_second_place() {
    let retrying = |endpoints: &[&str]| {
        ModelServer::new("s")
            .endpoints(endpoints.iter().copied())
            .traffic_policy(TrafficPolicy::new().max_retries(1))
    };
    let to = |server, rule| {
        lints(
            two()
                .model_server(server)
                .model_route(route([rule, both("x")])),
        )
    };
    let x = || {
        Rule::new("r")
            .when(header(StringMatch::exact("a")))
            .target("s")
    };
    let alone = "retries-without-alternative ModelServer \"s\", traffic_policy";
    assert_eq!(to(retrying(&["http://1"]), x()), [alone]);
    assert_eq!(to(retrying(&["http://1", "http://2"]), x()), [""; 0]);
    assert_eq!(to(retrying(&["http://1"]), x().fallback("a")), [""; 0]);
    assert_eq!(to(retrying(&["http://1"]), x().target("a")), [""; 0]);
}

#[test]
fn who_shares_an_endpoint_shares_its_limit() {
    let with = |b: TrafficPolicy| {
        let server = |name: &str, uri: &str, policy| {
            ModelServer::new(name).endpoint(uri).traffic_policy(policy)
        };
        let limited = TrafficPolicy::new().max_in_flight(8);
        lints(
            RouteTable::builder()
                .model_server(server("a", "http://engine", limited))
                .model_server(server("b", "HTTP://ENGINE:80/", b))
                .model_route(route([both("r")])),
        )
    };
    assert_eq!(with(TrafficPolicy::new().max_in_flight(8)), [""; 0]);
    for other in [TrafficPolicy::new(), TrafficPolicy::new().max_in_flight(4)] {
        assert_eq!(
            with(other),
            [r#"differing-limits ModelServer "b", endpoint #1"#]
        );
    }
}
