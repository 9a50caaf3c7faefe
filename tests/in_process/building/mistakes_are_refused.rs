//! What a table may not be: each mistake by itself, with its place.

use std::time::Duration;

use http::StatusCode;
use test_kit::table::servers;
use tower_model_route::{
    Balance, ConsistentHash, Endpoint, HashKey, LimitKey, MistakeKind, ModelMatch, ModelRoute,
    ModelServer, OutlierDetection, Per, PrefixCache, RateLimit, RouteTable, RouteTableBuilder,
    RouteTableHandle, Rule, StringMatch, TargetModel, TrafficPolicy, WithoutModel,
};

/// The places and kinds of what is wrong.
#[track_caller]
fn mistakes(table: RouteTableBuilder) -> Vec<(String, MistakeKind)> {
    let error = table.build().expect_err("there is a mistake");
    let mistakes = error.mistakes().iter();
    mistakes
        .map(|mistake| (mistake.place().to_owned(), mistake.kind().clone()))
        .collect()
}

#[track_caller]
fn assert_mistake(table: RouteTableBuilder, place: &str, kind: MistakeKind) {
    assert_eq!(mistakes(table), [(place.to_owned(), kind)]);
}

fn all() -> Rule {
    Rule::new("all").target("a")
}

fn route() -> ModelRoute {
    ModelRoute::new("r").model_name("m")
}

fn with(route: ModelRoute) -> RouteTableBuilder {
    servers(&["a", "b", "c"]).model_route(route)
}

fn with_rule(rule: Rule) -> RouteTableBuilder {
    with(route().rule(rule))
}

fn with_targets(targets: &[(&str, Option<u32>)]) -> RouteTableBuilder {
    with_rule(targets.iter().fold(Rule::new("x"), |rule, (name, weight)| {
        let target = TargetModel::new(*name);
        rule.target(match weight {
            Some(weight) => target.weight(*weight),
            None => target,
        })
    }))
}

fn when(conditions: ModelMatch) -> RouteTableBuilder {
    with_rule(all().when(conditions))
}

#[test]
fn empty_names_are_told_by_their_position() {
    use MistakeKind::EmptyName;
    let server = |server| RouteTable::builder().model_server(server);
    let table = servers(&["a"]).model_server(ModelServer::new(""));
    assert_mistake(table, "ModelServer #2", EmptyName);
    let table = server(ModelServer::new("s").model(""));
    assert_mistake(table, r#"ModelServer "s", model"#, EmptyName);
    let table = with(ModelRoute::new("").model_name("m").rule(all()));
    assert_mistake(table, "ModelRoute #1", EmptyName);
    let table = with(ModelRoute::new("r").model_name("").rule(all()));
    assert_mistake(table, r#"ModelRoute "r", model_name"#, EmptyName);
    let table = with(route().lora_adapters(["x", ""]).rule(all()));
    assert_mistake(table, r#"ModelRoute "r", LoRA adapter #2"#, EmptyName);
    let table = with(route().rule(all()).rule(Rule::new("").target("a")));
    assert_mistake(table, r#"ModelRoute "r", rule #2"#, EmptyName);
    let table = with_rule(all().target(""));
    assert_mistake(table, r#"ModelRoute "r", rule "all", target #2"#, EmptyName);
    let table = when(ModelMatch::new().body_model(""));
    assert_mistake(
        table,
        r#"ModelRoute "r", rule "all", body_model"#,
        EmptyName,
    );
}

#[test]
fn duplicates() {
    let server = || ModelServer::new("s");
    assert_mistake(
        RouteTable::builder()
            .model_server(server())
            .model_server(server()),
        r#"ModelServer "s""#,
        MistakeKind::DuplicateModelServer,
    );
    // The same, once it is normalized.
    assert_mistake(
        RouteTable::builder().model_server(server().endpoints([
            "http://h/a",
            "http://i/a",
            "HTTP://H:80/a/",
        ])),
        r#"ModelServer "s", endpoint #3"#,
        MistakeKind::DuplicateEndpoint,
    );
    assert_mistake(
        with(route().lora_adapters(["x", "y", "x"]).rule(all())),
        r#"ModelRoute "r", LoRA adapter "x""#,
        MistakeKind::DuplicateAdapter,
    );
    assert_mistake(
        with_targets(&[("a", None), ("b", None), ("a", None)]),
        r#"ModelRoute "r", rule "x", target "a""#,
        MistakeKind::DuplicateTarget,
    );
}

#[test]
fn limits_that_are_none() {
    use MistakeKind as Kind;
    let with = |limit: RateLimit| with(route().rule(all()).rate_limit(limit));
    let header = |name: &str| LimitKey::Header(name.to_owned());
    let requests = || RateLimit::requests(5, Per::Minute);
    let most = u64::from(u32::MAX);
    for (limit, words, kind) in [
        (
            RateLimit::requests(0, Per::Day),
            "0 requests per day",
            Kind::ZeroLimit,
        ),
        (
            requests().max_keys(0),
            "5 requests per minute",
            Kind::ZeroLimit,
        ),
        (
            RateLimit::concurrent_requests(0),
            "0 concurrent requests",
            Kind::ZeroLimit,
        ),
        (
            RateLimit::input_tokens(most + 1, Per::Second),
            "4294967296 input tokens per second",
            Kind::LimitTooLarge(most),
        ),
        (
            requests().key(header("a b")),
            "5 requests per minute and header \"a b\"",
            Kind::InvalidHeaderName,
        ),
        (
            requests().key(LimitKey::Named(String::new())),
            "5 requests per minute and \"\"",
            Kind::EmptyName,
        ),
        (
            RateLimit::concurrent_requests(5).redis("redis:6379"),
            "5 concurrent requests",
            Kind::LimitNotShared,
        ),
        (
            requests().redis("redis"),
            "5 requests per minute",
            Kind::InvalidRedisAddress,
        ),
        (
            requests().redis_password("secret"),
            "5 requests per minute",
            Kind::InvalidRedisPassword,
        ),
        (
            requests().redis("redis:6379").redis_password(""),
            "5 requests per minute",
            Kind::InvalidRedisPassword,
        ),
        (
            requests().kthena_keys(true),
            "5 requests per minute",
            Kind::NotAKthenaLimit,
        ),
        (
            RateLimit::input_tokens(5, Per::Day)
                .key(header("x"))
                .kthena_keys(true),
            "5 input tokens per day and header \"x\"",
            Kind::NotAKthenaLimit,
        ),
    ] {
        let place = format!("ModelRoute \"r\", rate limit #1 ({words})");
        assert_mistake(with(limit), &place, kind);
    }
    let twice = route()
        .rule(all())
        .rate_limit(requests())
        .rate_limit(requests().key(header("x")))
        .rate_limit(RateLimit::requests(9, Per::Minute));
    assert_mistake(
        servers(&["a", "b", "c"]).model_route(twice),
        "ModelRoute \"r\", rate limit #3 (9 requests per minute)",
        Kind::DuplicateLimit,
    );
    let kthenas = |per| RateLimit::input_tokens(5, per).kthena_keys(true);
    let both = |other| {
        let limits = [kthenas(Per::Minute), other];
        let route = limits
            .into_iter()
            .fold(route().rule(all()), ModelRoute::rate_limit);
        servers(&["a", "b", "c"]).model_route(route)
    };
    assert_mistake(
        both(kthenas(Per::Day)),
        "ModelRoute \"r\", rate limit #2 (5 input tokens per day)",
        Kind::DuplicateLimit,
    );
    for other in [
        RateLimit::input_tokens(5, Per::Day),
        RateLimit::output_tokens(5, Per::Day).kthena_keys(true),
    ] {
        assert!(both(other).build().is_ok());
    }
    // The most that a limit can be, in each time.
    for (per, most) in [(Per::Second, most), (Per::Month, most * 30 * 86_400)] {
        assert!(with(RateLimit::total_tokens(most, per)).build().is_ok());
    }
}

#[test]
fn endpoints_that_are_none() {
    for (endpoint, reason) in [
        ("", "it is not a valid URI"),
        ("http://h h", "it is not a valid URI"),
        ("h:8000", "it has no scheme (http:// or https://)"),
        ("/v1", "it has no scheme (http:// or https://)"),
        ("ftp://h", "its scheme is neither http nor https"),
        ("http://user:secret@h", "it has user information"),
        ("http://h/v1?key=secret", "it has a query"),
        ("http://h/#secret", "it has a fragment"),
        ("http://h:0", "its port is not a number from 1 to 65535"),
        ("http://h:70000", "its port is not a number from 1 to 65535"),
    ] {
        let server = ModelServer::new("s")
            .endpoint("http://ok")
            .endpoint(endpoint);
        let table = RouteTable::builder().model_server(server);
        let error = table.clone().build().unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        assert_mistake(
            table,
            r#"ModelServer "s", endpoint #2"#,
            MistakeKind::InvalidEndpoint(reason.into()),
        );
    }
}

#[test]
fn routes_and_rules_that_lead_nowhere() {
    assert_mistake(
        with(ModelRoute::new("r").rule(all())),
        r#"ModelRoute "r""#,
        MistakeKind::NoModel,
    );
    assert_mistake(with(route()), r#"ModelRoute "r""#, MistakeKind::NoRules);
    assert_mistake(
        with_rule(Rule::new("x")),
        r#"ModelRoute "r", rule "x""#,
        MistakeKind::NoTargets,
    );
    assert_mistake(
        with_targets(&[("a", None), ("gone", None)]),
        r#"ModelRoute "r", rule "x", target "gone""#,
        MistakeKind::UnknownModelServer,
    );
    // Names are exact here too.
    assert_mistake(
        with_targets(&[("A", None)]),
        r#"ModelRoute "r", rule "x", target "A""#,
        MistakeKind::UnknownModelServer,
    );
}

#[test]
fn weights_that_say_nothing() {
    let rule = r#"ModelRoute "r", rule "x""#;
    for targets in [
        [("a", Some(1)), ("b", None), ("c", None)],
        [("a", None), ("b", Some(0)), ("c", Some(100))],
    ] {
        assert_mistake(with_targets(&targets), rule, MistakeKind::MixedWeights);
    }
    for targets in [&[("a", Some(0)), ("b", Some(0))][..], &[("a", Some(0))]] {
        assert_mistake(with_targets(targets), rule, MistakeKind::AllWeightsZero);
    }
    for weight in [101, 1000, u32::MAX] {
        assert_mistake(
            with_targets(&[("a", Some(100)), ("b", Some(weight))]),
            r#"ModelRoute "r", rule "x", target "b""#,
            MistakeKind::WeightTooLarge(weight),
        );
    }
}

#[test]
fn conditions_that_can_not_be() {
    for name in ["", "user type", "user:type", "größe"] {
        assert_mistake(
            when(ModelMatch::new().header(name, StringMatch::exact("x"))),
            &format!(r#"ModelRoute "r", rule "all", header {name:?}"#),
            MistakeKind::InvalidHeaderName,
        );
    }
    for (conditions, place) in [
        (
            ModelMatch::new().header("user", StringMatch::regex("(")),
            r#"ModelRoute "r", rule "all", header "user""#,
        ),
        (
            ModelMatch::new().uri(StringMatch::regex("[")),
            r#"ModelRoute "r", rule "all", uri"#,
        ),
        // Rust's regular expressions have no look-around and no back references.
        (
            ModelMatch::new().uri(StringMatch::regex("(?!x)")),
            r#"ModelRoute "r", rule "all", uri"#,
        ),
        (
            ModelMatch::new().uri(StringMatch::regex(r"(a)\1")),
            r#"ModelRoute "r", rule "all", uri"#,
        ),
    ] {
        let found = mistakes(when(conditions));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, place);
        assert!(
            matches!(&found[0].1, MistakeKind::InvalidRegex(why) if !why.to_string().is_empty())
        );
    }
    // What would be no regular expression is a text like any other elsewhere.
    let text = ModelMatch::new()
        .uri(StringMatch::prefix("("))
        .header("a", StringMatch::exact("["));
    assert!(when(text).build().is_ok());
}

#[test]
fn a_balance_needs_weights_a_header_and_a_prefix() {
    let server = |balance| ModelServer::new("s").endpoint("http://h").balance(balance);
    let table = |server| RouteTable::builder().model_server(server);
    assert_mistake(
        table(
            ModelServer::new("s")
                .endpoint("http://h")
                .endpoint(Endpoint::new("http://i").weight(0)),
        ),
        r#"ModelServer "s", endpoint #2"#,
        MistakeKind::EndpointWeightZero,
    );
    for (header, place) in [
        ("a b", r#"ModelServer "s", balance, header "a b""#),
        ("", r#"ModelServer "s", balance, header """#),
    ] {
        let key = HashKey::Header(header.to_owned());
        assert_mistake(
            table(server(Balance::ConsistentHash(key.into()))),
            place,
            MistakeKind::InvalidHeaderName,
        );
    }
    assert_mistake(
        table(server(Balance::PrefixHash(0.into()))),
        r#"ModelServer "s", balance"#,
        MistakeKind::PrefixOfNothing,
    );
    let by_nothing = ConsistentHash::by(HashKey::User).or_by(HashKey::Cookie(String::new()));
    for (balance, mistake) in [
        (Balance::ConsistentHash(by_nothing), MistakeKind::EmptyName),
        (
            Balance::PrefixCache(PrefixCache::new().entries(0)),
            MistakeKind::ZeroLimit,
        ),
        (
            Balance::PrefixCache(PrefixCache::new().entries(u32::MAX)),
            MistakeKind::LimitTooLarge(12 * 1024 * 1024),
        ),
    ] {
        let place = r#"ModelServer "s", balance"#;
        assert_mistake(table(server(balance)), place, mistake);
    }
    let key = HashKey::Header("X-Session".to_owned());
    for balance in [
        Balance::ConsistentHash(key.into()),
        Balance::PrefixHash(1.into()),
        Balance::RoundRobin,
    ] {
        assert!(table(server(balance)).build().is_ok());
    }
}

#[test]
fn a_policy_that_lets_nothing_through_or_contradicts_itself() {
    use MistakeKind::{
        MaximumTooSmall, NotRetriable, PercentTooLarge, QueueWithoutLimit, ZeroLimit, ZeroTime,
    };
    let (policy, detection) = (TrafficPolicy::new, OutlierDetection::new);
    let (zero, second) = (Duration::ZERO, Duration::from_secs(1));
    let outlier = |detection| policy().outlier_detection(detection);
    let statuses = |status: u16| policy().retry_statuses([StatusCode::from_u16(status).unwrap()]);
    for (policy, part, kind) in [
        (policy().timeout(zero), "timeout", ZeroTime),
        (policy().total_timeout(zero), "total_timeout", ZeroTime),
        (policy().queue_timeout(zero), "queue_timeout", ZeroTime),
        (
            policy()
                .retry_interval(second)
                .max_retry_interval(second / 2),
            "max_retry_interval",
            MaximumTooSmall,
        ),
        (statuses(400), "retry_statuses", NotRetriable(400)),
        (statuses(200), "retry_statuses", NotRetriable(200)),
        (policy().max_in_flight(0), "max_in_flight", ZeroLimit),
        (policy().max_queue(1), "max_queue", QueueWithoutLimit),
        (
            outlier(detection().consecutive_failures(0)),
            "consecutive_failures",
            ZeroLimit,
        ),
        (
            outlier(detection().base_ejection_time(zero)),
            "base_ejection_time",
            ZeroTime,
        ),
        (
            outlier(detection().max_ejection_time(second)),
            "max_ejection_time",
            MaximumTooSmall,
        ),
        (
            outlier(detection().max_ejection_percent(101)),
            "max_ejection_percent",
            PercentTooLarge(101),
        ),
    ] {
        let server = ModelServer::new("a").traffic_policy(policy);
        let place = format!("ModelServer \"a\", traffic_policy, {part}");
        assert_mistake(RouteTable::builder().model_server(server), &place, kind);
    }
}

#[test]
fn long_intervals_need_no_longer_maximum() {
    let long = Duration::from_secs(3600);
    let detection = OutlierDetection::new().base_ejection_time(long);
    let policy = TrafficPolicy::new()
        .retry_interval(long)
        .outlier_detection(detection);
    let server = ModelServer::new("a").traffic_policy(policy);
    assert!(RouteTable::builder().model_server(server).build().is_ok());
}

#[test]
fn requests_without_a_model_go_to_what_is_there() {
    let table = || with(route().lora_adapter("l").rule(all()));
    for (what, mistake) in [
        (WithoutModel::Reject, None),
        (WithoutModel::Forward, None),
        (WithoutModel::Model("m".into()), None),
        (WithoutModel::Model("l".into()), None),
        (WithoutModel::Route("r".into()), None),
        (
            WithoutModel::Model("r".into()),
            Some(MistakeKind::UnknownModel("r".into())),
        ),
        (
            WithoutModel::Route("m".into()),
            Some(MistakeKind::UnknownModelRoute("m".into())),
        ),
        (
            WithoutModel::Model(String::new()),
            Some(MistakeKind::EmptyName),
        ),
        (
            WithoutModel::Route(String::new()),
            Some(MistakeKind::EmptyName),
        ),
    ] {
        let table = table().without_model(what.clone());
        assert_eq!(table.get_without_model(), Some(&what));
        match mistake {
            None => assert!(table.build().is_ok(), "{what:?}"),
            Some(mistake) => assert_mistake(table, "without_model", mistake),
        }
    }
    let error = table().without_model(WithoutModel::Route("chat".into()));
    assert_eq!(
        error.build().unwrap_err().to_string(),
        "1 mistake in the route table\n- without_model: there is no ModelRoute \"chat\""
    );
}

/// A reload that takes the route away is refused as well.
#[test]
fn the_route_for_requests_without_a_model_stays() {
    let table = with(route().rule(all())).without_model(WithoutModel::Route("r".into()));
    let handle = RouteTableHandle::new(table.build().unwrap());
    let error = handle.update(|mut config| {
        config.model_routes_mut().clear();
        config
    });
    assert!(error.unwrap_err().to_string().contains("no ModelRoute"));
    assert_eq!(handle.table().config().get_model_routes().len(), 1);
}
