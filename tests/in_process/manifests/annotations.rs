//! What Kthena's schema has no field for stands in annotations, which people can write.

use std::time::Duration;

use http::StatusCode;
use tower_model_route::{
    Balance, Endpoint, HashKey, ModelMatch, ModelRoute, ModelServer, OnInterruption,
    OutlierDetection, RouteTable, Rule, StringMatch, TrafficPolicy, WithoutModel,
};

use super::written::{build, errors, route, up, warnings};

const SERVER: &str = r#"
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: small
  annotations:
    tower-model-route/endpoints: |
      - http://10.0.0.1:8000
      - url: https://10.0.0.2/engine
        weight: 3
    tower-model-route/balance: |
      ConsistentHash:
        Header: x-session
    tower-model-route/traffic-policy: |
      totalTimeout: 1m
      streamIdleTimeout: 10s
      firstEventGate: true
      firstEventSlow: 3s
      firstEventTimeout: 8s
      sseKeepalive: 5s
      onInterruption: abort
      maxRetryInterval: 5s
      retryStatuses: [429, 503]
      maxInFlight: 64
      maxQueue: 16
      queueTimeout: 500ms
      slowStart: 30s
      preferZone: 16
      outlierDetection:
        consecutiveFailures: 3
        baseEjectionTime: 5s
        maxEjectionTime: 1m
        maxEjectionPercent: 34
        maxRetryAfter: 30s
      forceUsage: true
spec:
  inferenceEngine: vLLM
"#;

const ROUTE: &str = r#"
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata:
  name: chat
  annotations:
    tower-model-route/name: Chat, for people
    tower-model-route/rules: |
      first:
        fallbacks: [spare]
        when:
        - uri: {regex: "chat$"}
        - headers: {x: {prefix: a}}
spec:
  modelName: m
  rules:
  - name: first
    modelMatch:
      uri: {prefix: /v1}
    targetModels:
    - modelServerName: small
"#;

#[test]
fn they_say_what_the_builder_says() {
    let built = RouteTable::builder()
        .model_server(
            ModelServer::new("default/small")
                .endpoint("http://10.0.0.1:8000")
                .endpoint(Endpoint::new("https://10.0.0.2/engine").weight(3))
                .balance(Balance::ConsistentHash(
                    HashKey::Header("x-session".into()).into(),
                ))
                .traffic_policy(
                    TrafficPolicy::new()
                        .total_timeout(Duration::from_secs(60))
                        .stream_idle_timeout(Duration::from_secs(10))
                        .first_event_gate(true)
                        .first_event_slow(Duration::from_secs(3))
                        .first_event_timeout(Duration::from_secs(8))
                        .sse_keepalive(Duration::from_secs(5))
                        .force_usage(true)
                        .on_interruption(OnInterruption::Abort)
                        .max_retries(4)
                        .retry_interval(Duration::ZERO)
                        .max_retry_interval(Duration::from_secs(5))
                        .retry_statuses([
                            StatusCode::TOO_MANY_REQUESTS,
                            StatusCode::SERVICE_UNAVAILABLE,
                        ])
                        .max_in_flight(64)
                        .max_queue(16)
                        .queue_timeout(Duration::from_millis(500))
                        .slow_start(Duration::from_secs(30))
                        .prefer_zone(16)
                        .outlier_detection(
                            OutlierDetection::new()
                                .consecutive_failures(3)
                                .base_ejection_time(Duration::from_secs(5))
                                .max_ejection_time(Duration::from_secs(60))
                                .max_ejection_percent(34)
                                .max_retry_after(Duration::from_secs(30)),
                        ),
                ),
        )
        .model_server(
            ModelServer::new("default/spare")
                .endpoint(Endpoint::new("http://spare:8000").name("only")),
        )
        .model_route(
            ModelRoute::new("Chat, for people").model_name("m").rule(
                Rule::new("first")
                    .when(ModelMatch::new().uri(StringMatch::prefix("/v1")))
                    .when(ModelMatch::new().uri(StringMatch::regex("chat$")))
                    .when(ModelMatch::new().header("x", StringMatch::prefix("a")))
                    .target("default/small")
                    .fallback("default/spare"),
            ),
        )
        .build()
        .unwrap();
    let spare = up("spare") + "  trafficPolicy: {retry: {attempts: 0}}\n";
    let read = build(&[SERVER.to_owned(), spare, ROUTE.to_owned()]);
    assert_eq!(
        format!("{:?}", read.to_yaml()),
        format!("{:?}", built.to_yaml())
    );
}

#[test]
fn short_forms_are_read() {
    let long = "|\n      ConsistentHash:\n        Header: x-session";
    for (short, in_full) in [
        ("RoundRobin", "RoundRobin"),
        ("\"PrefixHash: 256\"", "PrefixHash: 256"),
        (
            "'{ConsistentHash: ClientAddr}'",
            "ConsistentHash: ClientAddr",
        ),
        ("\"ConsistentHash: {Header: X}\"", "Header: X"),
        ("LeastTokens", "LeastTokens"),
        ("'PrefixCache: {}'", "entries: 4096"),
        ("'ConsistentHash: [{Cookie: sid}, User]'", "Cookie: sid"),
        (
            "'ConsistentHash: {keys: PromptCacheKey, spill: Never}'",
            "spill: Never",
        ),
        (
            "'PrefixHash: {bytes: 9, spill: {AboveTokens: 5000}}'",
            "AboveTokens: 5000",
        ),
    ] {
        let yaml = SERVER.replace(long, short);
        let written = build(&[yaml]).to_yaml();
        assert!(written.contains(in_full), "{written}");
    }
    let yaml = SERVER.replace(
        "|\n      - http://10.0.0.1:8000\n      - url: https://10.0.0.2/engine\n        weight: 3",
        "http://10.0.0.1/x",
    );
    assert!(build(&[yaml]).to_yaml().contains("- http://10.0.0.1/x"));
}

#[test]
fn an_endpoint_may_be_a_name_of_several_addresses() {
    let yaml = SERVER.replace("weight: 3", "resolve: true");
    let built = build(&[yaml]);
    let config = |table: &RouteTable| table.config().get_model_servers()[0].clone();
    let resolves: Vec<_> = config(&built)
        .get_endpoints()
        .iter()
        .map(Endpoint::get_resolve)
        .collect();
    assert_eq!(resolves, [false, true]);
    let again = build(&[built.to_yaml()]);
    assert_eq!(
        config(&again).get_endpoints(),
        config(&built).get_endpoints()
    );
    let yaml = SERVER.replace("weight: 3", "resolve: 3");
    assert_eq!(errors(&yaml).len(), 1);
}

#[test]
fn mistakes_in_them_have_the_lines_of_the_file() {
    let yaml = SERVER
        .replace("weight: 3", "weight: many")
        .replace("totalTimeout: 1m", "totalTimeout: 1d")
        .replace("maxInFlight: 64", "maxInflight: 64")
        .replace("consecutiveFailures: 3", "consecutiveFailures: -3")
        .replace("Header: x-session", "Header: [x-session");
    assert_eq!(
        errors(&yaml),
        [
            "10:17 metadata.annotations[\"tower-model-route/endpoints\"][1].weight: expected a number, found the text \"many\" [wrong-type]",
            "13:17 metadata.annotations[\"tower-model-route/balance\"]: this is not valid YAML: unclosed bracket '[' [invalid-yaml]",
            "15:21 metadata.annotations[\"tower-model-route/traffic-policy\"].totalTimeout: \"1d\" is not a duration: durations are written like \"10s\", \"1m30s\" or \"100ms\" [invalid-value]",
            "25:17 metadata.annotations[\"tower-model-route/traffic-policy\"].maxQueue: without max_in_flight nothing ever queues [invalid-configuration]",
            "30:30 metadata.annotations[\"tower-model-route/traffic-policy\"].outlierDetection.consecutiveFailures: -3 is not a whole number from 0 to 4294967295 [invalid-value]",
        ]
    );
    assert_eq!(
        warnings(&yaml),
        [
            "24:7 metadata.annotations[\"tower-model-route/traffic-policy\"].maxInflight: this field is unknown and ignored, did you mean \"maxInFlight\"? [unknown-field]"
        ]
    );
}

#[test]
fn a_header_that_is_none_is_found_in_the_balance() {
    let yaml = SERVER.replace("Header: x-session", "Header: x session");
    assert_eq!(
        errors(&yaml),
        [
            "13:17 metadata.annotations[\"tower-model-route/balance\"].ConsistentHash.Header: \"x session\" is not a valid header name [invalid-value]"
        ]
    );
}

#[test]
fn rules_that_are_not_there_are_errors() {
    let yaml = SERVER.to_owned() + &up("spare") + ROUTE;
    for (from, to, expected) in [
        ("      first:", "      frist:", "did you mean \"first\"?"),
        ("[spare]", "[big]", "no ModelServer \"big\""),
        (
            "    tower-model-route/rules",
            "    tower-model-route/rule",
            "",
        ),
    ] {
        let found = errors(&yaml.replace(from, to));
        match expected {
            "" => assert_eq!(found, [""; 0]),
            expected => assert!(found[0].contains(expected), "{found:?}"),
        }
    }
    assert!(
        warnings(&yaml.replace("tower-model-route/rules", "tower-model-route/rule"))[0]
            .contains("did you mean \"rules\"?")
    );
    let listed = yaml.replace("      first:\n        fallbacks: [spare]\n        when:\n        - uri: {regex: \"chat$\"}\n        - headers: {x: {prefix: a}}", "      - {}\n      - fallbacks: [spare]");
    assert!(
        errors(&listed)[0].contains("has only 1 rules"),
        "{:?}",
        errors(&listed)
    );
}

/// Two routes, each with this annotation or none.
fn unnamed(first: Option<&str>, second: Option<&str>) -> String {
    let route = |name: &str, takes: Option<&str>| {
        let takes = takes.map_or(String::new(), |takes| {
            format!("\n  annotations:\n    tower-model-route/without-model: {takes}")
        });
        let rules = "rules: [{targetModels: [{modelServerName: s}]}]";
        route(name, &[&format!("modelName: {name}"), rules])
            .replace("\nspec:", &format!("{takes}\nspec:"))
    };
    up("s") + &route("one", first) + &route("two", second)
}

#[test]
fn one_route_takes_requests_without_a_model() {
    let yes = Some("\"true\"");
    let table = build(&[unnamed(None, yes)]);
    let what = WithoutModel::Route("default/two".to_owned());
    assert_eq!(table.config().get_without_model(), Some(&what));
    let (head, ()) = http::Request::get("/v1/chat/completions")
        .body(())
        .unwrap()
        .into_parts();
    let explained = table.explain_request(&head, b"").unwrap();
    assert_eq!(explained.route(), Some("default/two"));
    // And back.
    let yaml = table.to_yaml();
    assert_eq!(
        yaml.matches("tower-model-route/without-model: \"true\"")
            .count(),
        1
    );
    assert_eq!(build(&[yaml]).config(), table.config());
    // Also where a YAML reader of YAML has made a truth value of it.
    let table = build(&[unnamed(Some("true"), Some("\"false\""))]);
    let what = WithoutModel::Route("default/one".to_owned());
    assert_eq!(table.config().get_without_model(), Some(&what));
    let table = build(&[unnamed(None, Some("\"false\""))]);
    assert_eq!(table.config().get_without_model(), None);
}

#[test]
fn two_routes_that_take_them_are_one_error() {
    let yes = Some("\"true\"");
    let found = errors(&unnamed(yes, yes));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("go to the ModelRoute \"default/one\" already, in ")
            && found[0].ends_with("[duplicate-without-model]"),
        "{found:?}"
    );
    let found = errors(&unnamed(Some("yes"), None));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("neither \"true\" nor \"false\""),
        "{found:?}"
    );
}
