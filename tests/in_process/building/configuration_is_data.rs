//! A configuration can be read back, compared, changed, and serialized.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tower_model_route::{
    Balance, Condition, Endpoint, HashKey, LimitKey, LintKind, MistakeKind, ModelMatch, ModelRoute,
    ModelServer, OutlierDetection, Per, Place, RateLimit, RoutePart, RouteTable, RouteTableBuilder,
    Rule, ServerPart, StringMatch, TargetModel, TrafficPolicy,
};

fn server() -> ModelServer {
    ModelServer::new("small")
        .model("org/real")
        .endpoint("http://e0")
        .endpoint(Endpoint::new("http://e1").weight(3))
        .balance(Balance::ConsistentHash(
            HashKey::Header("x-session".into()).into(),
        ))
        .traffic_policy(
            TrafficPolicy::new()
                .timeout(Duration::from_secs(90))
                .max_retries(2)
                .retry_statuses([StatusCode::SERVICE_UNAVAILABLE])
                .max_in_flight(8)
                .outlier_detection(OutlierDetection::new().consecutive_failures(3)),
        )
}

fn route() -> ModelRoute {
    ModelRoute::new("chat")
        .model_name("asked")
        .lora_adapter("lora")
        .rule(
            Rule::new("gold")
                .when(
                    ModelMatch::new()
                        .header("x-tier", StringMatch::exact("gold"))
                        .uri(StringMatch::prefix("/v1"))
                        .body_model("asked"),
                )
                .target(TargetModel::new("small").weight(70))
                .fallback("spare"),
        )
}

fn table() -> RouteTableBuilder {
    RouteTable::builder()
        .model_server(server())
        .model_server(ModelServer::new("spare"))
        .model_route(route())
}

#[test]
fn everything_that_was_said_can_be_read() {
    let table = table().build().unwrap();
    let config = table.config();
    assert_eq!(
        config.get_model_servers(),
        [server(), ModelServer::new("spare")]
    );
    assert_eq!(config.get_model_routes(), [route()]);

    let server = server();
    assert_eq!(
        (server.get_name(), server.get_model()),
        ("small", Some("org/real"))
    );
    let endpoints = server.get_endpoints();
    assert_eq!(endpoints[1].get_uri(), "http://e1");
    assert_eq!(endpoints.iter().map(Endpoint::get_weight).sum::<u32>(), 4);
    let policy = server.get_traffic_policy();
    assert_eq!(policy.get_timeout(), Some(Duration::from_secs(90)));
    assert_eq!(policy.get_total_timeout(), None);
    assert_eq!(policy.get_max_retries(), 2);
    assert_eq!(policy.get_retry_statuses(), [503]);
    assert_eq!(
        policy.get_max_retry_interval(),
        Duration::from_secs(2),
        "the default"
    );
    assert_eq!(policy.get_outlier_detection().get_consecutive_failures(), 3);

    let route = route();
    let [rule] = route.get_rules() else {
        panic!("{route:?}");
    };
    assert_eq!(
        rule.get_conditions(),
        [
            Condition::Header("x-tier".into(), StringMatch::exact("gold")),
            Condition::Uri(StringMatch::prefix("/v1")),
            Condition::BodyModel("asked".into()),
        ]
    );
    assert_eq!(rule.get_targets()[0].get_weight(), Some(70));
    assert!(rule.model_servers().eq(["small", "spare"]));
}

#[test]
fn a_table_can_be_built_from_that_of_another() {
    let first = table().build().unwrap();
    let second = first.config().clone();
    let second = second
        .model_server(ModelServer::new("new"))
        .build()
        .unwrap();
    assert_eq!((first.servers().len(), second.servers().len()), (2, 3));
}

#[test]
fn mistakes_have_a_place_for_programs() {
    let policy = TrafficPolicy::new().timeout(Duration::ZERO);
    let error = table()
        .model_server(
            ModelServer::new("third")
                .endpoint("x")
                .traffic_policy(policy),
        )
        .model_route(
            ModelRoute::new("r")
                .model_name("m")
                .rule(Rule::new("all").target("gone")),
        )
        .build()
        .unwrap_err();
    let found: Vec<_> = error
        .mistakes()
        .iter()
        .map(|mistake| (mistake.position(), mistake.place().to_owned()))
        .collect();
    let server = |part| Place::ModelServer(2, part);
    assert_eq!(
        found,
        [
            (
                server(ServerPart::Endpoint(0)),
                r#"ModelServer "third", endpoint #1"#.to_owned()
            ),
            (
                server(ServerPart::TrafficPolicy(Some("timeout"))),
                r#"ModelServer "third", traffic_policy, timeout"#.to_owned()
            ),
            (
                Place::ModelRoute(1, RoutePart::Target(0, 0)),
                r#"ModelRoute "r", rule "all", target "gone""#.to_owned()
            ),
        ]
    );
    assert_eq!(error.mistakes()[2].kind(), &MistakeKind::UnknownModelServer);
}

#[test]
fn it_serializes_in_the_words_of_the_manifests() {
    assert_eq!(
        serde_json::to_value(server()).unwrap(),
        json!({
            "name": "small",
            "model": "org/real",
            "endpoints": [
                { "uri": "http://e0", "weight": 1 },
                { "uri": "http://e1", "weight": 3 },
            ],
            "balance": { "ConsistentHash": { "Header": "x-session" } },
            "trafficPolicy": {
                "timeout": "90s",
                "firstEventGate": false,
                "firstEventSlow": null,
                "firstEventTimeout": null,
                "streamIdleTimeout": "5m",
                "sseKeepalive": null,
                "forceUsage": false,
                "onInterruption": "event",
                "totalTimeout": null,
                "maxRetries": 2,
                "retryInterval": "100ms",
                "maxRetryInterval": null,
                "retryStatuses": [503],
                "retryUnknownModel": true,
                "retryTooLong": false,
                "maxInFlight": 8,
                "maxQueue": 0,
                "queueTimeout": "1s",
                "slowStart": "0s",
                "outlierDetection": {
                    "consecutiveFailures": 3,
                    "baseEjectionTime": "10s",
                    "maxEjectionTime": null,
                    "maxEjectionPercent": 100,
                    "maxRetryAfter": "1m",
                    "off": false,
                },
            },
        })
    );
    assert_eq!(
        serde_json::to_value(route()).unwrap(),
        json!({
            "name": "chat",
            "modelName": "asked",
            "loraAdapters": ["lora"],
            "rules": [{
                "name": "gold",
                "conditions": [
                    { "header": ["x-tier", { "exact": "gold" }] },
                    { "uri": { "prefix": "/v1" } },
                    { "bodyModel": "asked" },
                ],
                "targets": [{ "modelServer": "small", "weight": 70 }],
                "fallbacks": ["spare"],
            }],
            "rateLimits": [],
        })
    );
}

#[test]
fn limits_serialize() {
    let limit = RateLimit::requests(60, Per::Minute).key(LimitKey::Header("x-key".into()));
    assert_eq!(
        serde_json::to_value(limit).unwrap(),
        json!({
            "unit": "requests",
            "amount": 60,
            "per": "minute",
            "key": { "header": "x-key" },
            "maxKeys": 10_000,
            "observeOnly": false,
            "redis": null,
            "kthenaKeys": false,
            "onStoreFailure": "local",
        })
    );
}

#[test]
fn a_whole_table_serializes() {
    let table = table().build().unwrap();
    assert_eq!(
        serde_json::to_value(table.config()).unwrap(),
        json!({
            "modelServers": [server(), ModelServer::new("spare")],
            "modelRoutes": [route()],
        })
    );
}

#[test]
fn a_front_end_can_rename_model_servers_in_their_order() {
    let mut names = Vec::new();
    let renamed = route()
        .rule(Rule::new("other").target("large"))
        .rename_model_servers(|name| {
            names.push(name.to_owned());
            format!("ml/{name}")
        });
    assert_eq!(names, ["small", "spare", "large"]);
    let expected = ModelRoute::new("chat")
        .model_name("asked")
        .lora_adapter("lora")
        .rule(
            Rule::new("gold")
                .when(
                    route().get_rules()[0]
                        .get_conditions()
                        .iter()
                        .cloned()
                        .collect(),
                )
                .target(TargetModel::new("ml/small").weight(70))
                .fallback("ml/spare"),
        )
        .rule(Rule::new("other").target("ml/large"));
    assert_eq!(renamed, expected);
}

#[test]
fn lints_have_a_place_for_programs() {
    let table = table().build().unwrap();
    let found: Vec<_> = table
        .lint()
        .iter()
        .map(|lint| (lint.kind(), lint.position()))
        .collect();
    let no_endpoints = (
        LintKind::NoEndpoints,
        Place::ModelServer(1, ServerPart::Whole),
    );
    assert!(found.contains(&no_endpoints), "{found:?}");
}

#[test]
fn short_forms_are_the_long_ones() {
    let short = Rule::new("r")
        .when(
            ModelMatch::new()
                .header("user-type", "premium")
                .uri("/v1".to_owned()),
        )
        .target(("small", 70))
        .target(("large".to_owned(), 30));
    let long = Rule::new("r")
        .when(
            ModelMatch::new()
                .header("user-type", StringMatch::exact("premium"))
                .uri(StringMatch::exact("/v1")),
        )
        .target(TargetModel::new("small").weight(70))
        .target(TargetModel::new("large").weight(30));
    assert_eq!(short, long);
}
