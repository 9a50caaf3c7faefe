//! Every field of the two kinds, defaults, and values that are not what they should be.

use std::time::Duration;

use tower_model_route::{
    ModelMatch, ModelRoute, ModelServer, Per, RateLimit, RouteTable, Rule, StringMatch,
    TargetModel, TrafficPolicy, manifest::Manifests,
};

use super::written::{ask, build, decide, errors, route, server, up, warnings};

/// All that Kthena's two kinds have, as its documentation writes it.
const EVERYTHING: &str = r#"
# Which engines there are
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: deepseek-r1-7b
  namespace: ml
  labels:
    team: ranking
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: "{}"
  creationTimestamp: "2025-03-01T09:30:00Z"
  resourceVersion: "1007"
  uid: 0b2c6f5e-6c5f-4d0c-9b61-4f5b2f0f2a51
  generation: 2
  managedFields: []
spec:
  model: "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"
  inferenceEngine: "vLLM"
  workloadSelector:
    matchLabels:
      app: deepseek-r1-7b
    pdGroup:
      groupKey: "modelserving.volcano.sh/group-name"
      prefillLabels:
        modelserving.volcano.sh/role: prefill
      decodeLabels:
        modelserving.volcano.sh/role: decode
  workloadPort:
    port: 8000
    protocol: http
  trafficPolicy:
    timeout: 1m30s
    retry:
      attempts: 3
      retryInterval: 250ms
  kvConnector:
    type: nixl
status:
  readyReplicas: 2
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata:
  name: deepseek
  namespace: ml
spec:
  modelName: "deepseek"
  loraAdapters:
  - lora-A
  - "lora-B"
  parentRefs:
  - name: inference
    kind: Gateway
    group: gateway.networking.k8s.io
  rules:
  - name: premium
    modelMatch:
      headers:
        user-type:
          exact: premium
        x-region:
          prefix: eu-
        x-tier:
          regex: "^[0-9]+$"
      uri:
        prefix: /v1/
      body:
        model: deepseek
    targetModels:
    - modelServerName: deepseek-r1-7b
      weight: 100
  - targetModels:
    - modelServerName: deepseek-r1-7b
  rateLimit:
    inputTokensPerUnit: 1000
    outputTokensPerUnit: 2000
    unit: minute
    global:
      redis:
        address: redis:6379
"#;

#[test]
fn every_field_is_read() {
    let manifests = Manifests::from_yaml(EVERYTHING).endpoints("ml/deepseek-r1-7b", ["http://e:1"]);
    let table = manifests.build().unwrap();
    let headers = [
        ("user-type", "premium"),
        ("x-region", "eu-west"),
        ("x-tier", "12"),
    ];
    let premium = "ml/deepseek premium -> ml/deepseek-r1-7b http://e:1";
    let other = "ml/deepseek rule-2 -> ml/deepseek-r1-7b http://e:1";
    assert_eq!(ask(&table, "deepseek", "/v1/chat", &headers), premium);
    // Each condition counts: without one of them it is the other rule.
    for left_out in 0..headers.len() {
        let mut fewer = headers.to_vec();
        fewer.remove(left_out);
        assert_eq!(ask(&table, "deepseek", "/v1/chat", &fewer), other);
    }
    assert_eq!(ask(&table, "deepseek", "/v2/chat", &headers), other);
    assert_eq!(ask(&table, "lora-A", "/v1/chat", &headers), other);
    assert_eq!(
        ask(&table, "lora-C", "/v1/chat", &headers),
        "model_not_found"
    );
    let decision = table
        .decide(&test_kit::request::head("/", &[]), "deepseek")
        .unwrap();
    assert_eq!(
        decision.engine_model(),
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"
    );
}

#[test]
fn what_is_not_acted_on_is_named() {
    let report = Manifests::from_yaml(EVERYTHING).check();
    let named: Vec<(&str, &str)> = report
        .warnings()
        .filter(|warning| !["unused-model-server", "no-endpoints"].contains(&warning.code()))
        .map(|warning| (warning.field(), warning.code()))
        .collect();
    assert_eq!(
        named,
        [
            ("spec.workloadSelector.pdGroup", "not-acted-on"),
            ("spec.kvConnector", "not-acted-on"),
            ("spec.parentRefs", "not-acted-on"),
        ]
    );
}

/// What the manifest says in Kthena's words is what the builder says in ours.
#[test]
fn the_traffic_policy_is_the_builders() {
    let yaml = Manifests::from_yaml(EVERYTHING)
        .endpoints("ml/deepseek-r1-7b", ["http://e:1"])
        .build()
        .unwrap();
    let built = RouteTable::builder()
        .model_server(
            ModelServer::new("ml/deepseek-r1-7b")
                .model("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B")
                .endpoint("http://e:1")
                .traffic_policy(
                    TrafficPolicy::new()
                        .timeout(Duration::from_secs(90))
                        .max_retries(3)
                        .retry_interval(Duration::from_millis(250)),
                ),
        )
        .model_route(
            ModelRoute::new("ml/deepseek")
                .model_name("deepseek")
                .lora_adapters(["lora-A", "lora-B"])
                .rule(
                    Rule::new("premium")
                        .when(
                            ModelMatch::new()
                                .header("user-type", StringMatch::exact("premium"))
                                .header("x-region", StringMatch::prefix("eu-"))
                                .header("x-tier", StringMatch::regex("^[0-9]+$"))
                                .uri(StringMatch::prefix("/v1/"))
                                .body_model("deepseek"),
                        )
                        .target(TargetModel::new("ml/deepseek-r1-7b").weight(100)),
                )
                .rule(Rule::new("rule-2").target("ml/deepseek-r1-7b"))
                .rate_limit(RateLimit::input_tokens(1000, Per::Minute).redis("redis:6379"))
                .rate_limit(RateLimit::output_tokens(2000, Per::Minute).redis("redis:6379")),
        )
        .build()
        .unwrap();
    // The text holds all of the configuration.
    assert_eq!(yaml.to_yaml(), built.to_yaml());
}

#[test]
fn weights_are_100_where_none_is_given() {
    let table = build(&[
        up("a"),
        up("b"),
        route(
            "r",
            &[
                "modelName: m\nrules:\n- targetModels:\n  - modelServerName: a\n    weight: 50\n  - modelServerName: b",
            ],
        ),
        route(
            "s",
            &["modelName: n\nrules:\n- targetModels: [{modelServerName: a}, {modelServerName: b}]"],
        ),
    ]);
    let count = |model| {
        (0..300)
            .filter(|_| decide(&table, model).contains("/a "))
            .count()
    };
    assert_eq!(count("m"), 100);
    assert_eq!(count("n"), 150);
}

#[test]
fn values_that_are_not_valid_are_errors_all_at_once() {
    let yaml = server(
        "s",
        &["inferenceEngine: vllm
workloadPort: {port: 70000, protocol: tcp}
trafficPolicy:
  timeout: 10
  retry: {attempts: -1, retryInterval: 1 s}
kvConnector: {type: nixil}"],
    ) + &route(
        "r",
        &["modelName: [m]
rules:
- name: a
  modelMatch:
    uri: {exact: /a, prefix: /b}
  targetModels:
  - {modelServerName: s, weight: 101}
  - {modelServerName: s2, weight: -1}
  - {weight: 1.5}
- targetModels: s"],
    );
    // The key inferenceEngine is there twice: the kit writes one too.
    let found = errors(&yaml);
    let fields: Vec<&str> = found
        .iter()
        .map(|line| line.split_once(' ').unwrap().1.split_once(": ").unwrap().0)
        .collect();
    assert_eq!(
        fields,
        [
            "spec.inferenceEngine",
            "spec.workloadPort.port",
            "spec.workloadPort.protocol",
            "spec.trafficPolicy.timeout",
            "spec.trafficPolicy.retry.attempts",
            "spec.trafficPolicy.retry.retryInterval",
            "spec.kvConnector.type",
            "spec.modelName",
            "spec.rules[0].modelMatch.uri",
            "spec.rules[0].targetModels[0].weight",
            "spec.rules[0].targetModels[1].modelServerName",
            "spec.rules[0].targetModels[1].weight",
            "spec.rules[0].targetModels[2].modelServerName",
            "spec.rules[0].targetModels[2].weight",
            "spec.rules[1].targetModels",
        ],
        "{found:#?}"
    );
}

#[test]
fn nulls_are_what_is_not_there() {
    let yaml = up("s")
        + &route(
            "r",
            &[
                "modelName: m\nloraAdapters: ~\nrateLimit:\nrules:\n- {name: null, modelMatch: null, targetModels: [{modelServerName: s, weight: null}]}",
            ],
        );
    assert_eq!(errors(&yaml), [""; 0]);
    assert_eq!(warnings(&yaml), [""; 0]);
    assert!(decide(&build(&[yaml]), "m").starts_with("default/r rule-1"));
}

#[test]
fn a_match_that_says_nothing_matches_everything_as_in_kthena() {
    let yaml = up("s")
        + &route(
            "r",
            &[
                "modelName: m\nrules:\n- modelMatch:\n    headers: {x: {}}\n    uri: {}\n  targetModels: [{modelServerName: s}]",
            ],
        );
    assert!(decide(&build(&[&yaml]), "m").starts_with("default/r"));
    assert_eq!(warnings(&yaml).len(), 2, "{:?}", warnings(&yaml));
}

#[test]
fn a_timeout_of_0_is_none() {
    let yaml = server("s", &["trafficPolicy: {timeout: 0s}"]);
    assert_eq!(
        warnings(&yaml),
        ["8:28 spec.trafficPolicy.timeout: a timeout of 0 is taken for none [no-timeout]"]
    );
    assert!(!build(&[yaml]).to_yaml().contains("timeout"));
}
