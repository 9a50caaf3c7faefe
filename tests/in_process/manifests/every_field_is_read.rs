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

/// A rule would match more than it seems to, and nobody would see it.
#[test]
fn a_condition_left_blank_matches_everything_which_is_said() {
    for (blank, place, says) in [
        ("headers: {x-tenant: }", "headers.x-tenant", "left blank"),
        ("headers:", "headers", "left blank"),
        ("headers: {x: {exact: }}", "headers.x", "neither exact"),
        ("uri:", "uri", "left blank"),
        ("uri: {prefix: ~}", "uri", "neither exact"),
        ("body:", "body", "left blank"),
        ("body: {model: }", "body.model", "left blank"),
    ] {
        let yaml = up("s")
            + &route(
                "r",
                &[
                    "modelName: m\nrules:\n- modelMatch:",
                    &format!("    {blank}"),
                    "  targetModels: [{modelServerName: s}]",
                ],
            );
        assert!(decide(&build(&[&yaml]), "m").starts_with("default/r"));
        let found = warnings(&yaml);
        assert_eq!(found.len(), 1, "{blank}: {found:?}");
        let place = format!(" spec.rules[0].modelMatch.{place}: it ");
        assert!(
            found[0].starts_with("18:") && found[0].contains(&place),
            "{found:?}"
        );
        assert!(found[0].contains(says), "{found:?}");
        assert!(found[0].ends_with("[matches-everything]"), "{found:?}");
    }
}

#[test]
fn conditions_of_annotations_left_blank_are_said_too() {
    for blank in [
        "headers: {x: }",
        "promptTokens: ",
        "promptTokens: {}",
        "promptTokens: {min: }",
    ] {
        let when = format!(
            "metadata:\n  annotations:\n    tower-model-route/rules: |\n      - when: [{{{blank}}}]\n"
        );
        let yaml = up("s")
            + &route(
                "r",
                &["modelName: m\nrules: [{targetModels: [{modelServerName: s}]}]"],
            )
            .replace("metadata:\n", &when);
        assert!(decide(&build(&[&yaml]), "m").starts_with("default/r"));
        let found = warnings(&yaml);
        assert_eq!(found.len(), 1, "{blank}: {found:?}");
        assert!(found[0].ends_with("[matches-everything]"), "{found:?}");
    }
}

/// As in Kthena, each is said.
#[test]
fn of_exact_prefix_and_regex_the_first_counts() {
    for (value, ignored) in [
        ("{exact: a, prefix: b}", 1),
        ("{prefix: b, exact: a}", 1),
        ("{regex: c, exact: a, prefix: b}", 2),
        ("{prefix: a, regex: b}", 1),
    ] {
        let yaml = up("s")
            + &route(
                "r",
                &[&format!(
                    "modelName: m\nrules:\n- modelMatch: {{headers: {{x: {value}}}}}\n  targetModels: [{{modelServerName: s}}]"
                )],
            );
        let table = build(&[&yaml]);
        let ask = |x| ask(&table, "m", "/v1/chat/completions", &[("x", x)]);
        assert!(ask("a").starts_with("default/r"), "{value}");
        assert_eq!(ask("b"), "route_not_found", "{value}");
        let found = warnings(&yaml);
        assert_eq!(found.len(), ignored, "{found:?}");
        for found in found {
            assert!(
                found.contains(" spec.rules[0].modelMatch.headers.x."),
                "{found}"
            );
            assert!(found.contains(": it is ignored: "), "{found}");
            assert!(found.ends_with("[ambiguous-match]"), "{found}");
        }
    }
}

#[test]
fn what_is_there_twice_counts_as_in_kthena_which_is_said() {
    let own = "endpoints:\n- {name: a, address: h, port: 80}\n- {name: b, address: h, port: 81}\n- {name: c, address: H, port: 80}";
    let yaml = server("s", &[own])
        + &up("t")
        + &route(
            "r",
            &["modelName: m
loraAdapters: [a, b, a]
rules:
- targetModels:
  - {modelServerName: s, weight: 20}
  - {modelServerName: t, weight: 30}
  - {modelServerName: s, weight: 40}
- targetModels: [{modelServerName: t}, {modelServerName: s}, {modelServerName: t}]
- targetModels: [{modelServerName: t, weight: 1}, {modelServerName: s}, {modelServerName: t}]
- targetModels: [&s {modelServerName: s, weight: 80}, {modelServerName: t}, *s, {modelServerName: u, weight: 0}]"],
        )
        + &up("u");
    assert_eq!(errors(&yaml), [""; 0]);
    let found = warnings(&yaml);
    let found: Vec<_> = found
        .iter()
        .filter(|it| !it.contains("[unreachable") && !it.contains("[zero-weight"))
        .collect();
    assert_eq!(
        found,
        [
            "11:24 spec.endpoints[2].address: an earlier endpoint has this address and port: this one is ignored [duplicate-endpoint]",
            "27:24 spec.loraAdapters[2]: the LoRA adapter \"a\" is already named: it counts once [duplicate-adapter]",
            "32:25 spec.rules[0].targetModels[2].modelServerName: \"s\" is already a target of this rule: their weights are added up [duplicate-target]",
            "33:82 spec.rules[1].targetModels[2].modelServerName: \"t\" is already a target of this rule: their weights are added up [duplicate-target]",
            "34:93 spec.rules[2].targetModels[2].modelServerName: \"t\" is already a target of this rule: their weights are added up [duplicate-target]",
            "35:79 spec.rules[3].targetModels[2].modelServerName: \"s\" is already a target of this rule: their weights are added up [duplicate-target]",
        ],
        "{found:#?}"
    );
    let table = build(&[&yaml]);
    let config = table.config();
    let endpoints = config.get_model_servers()[0].get_endpoints().iter();
    let names: Vec<_> = endpoints.filter_map(|it| it.get_name()).collect();
    assert_eq!(names, ["a", "b"]);
    let route = &config.get_model_routes()[0];
    assert_eq!(route.get_lora_adapters(), ["a", "b"]);
    let targets = |rule: usize| -> Vec<_> {
        let targets = route.get_rules()[rule].get_targets().iter();
        targets
            .map(|it| (it.get_model_server(), it.get_weight().unwrap()))
            .collect()
    };
    let (s, t) = ("default/s", "default/t");
    assert_eq!(targets(0), [(s, 60), (t, 30)]);
    assert_eq!(targets(1), [(t, 2), (s, 1)]);
    assert_eq!(targets(2), [(t, 100), (s, 99)]);
    assert_eq!(targets(3), [(s, 8), (t, 5), ("default/u", 0)]);
    let again = build(&[table.to_yaml()]);
    assert_eq!(again.config().get_model_routes(), config.get_model_routes());
    assert!(Manifests::from_yaml(&yaml).lenient().build().is_ok());
}

#[test]
fn a_timeout_of_0_is_none() {
    let yaml = server("s", &["trafficPolicy: {timeout: 0s}"]);
    assert_eq!(
        warnings(&yaml),
        ["8:28 spec.trafficPolicy.timeout: a timeout of 0 means none [no-timeout]"]
    );
    assert!(!build(&[yaml]).to_yaml().contains("timeout"));
}
