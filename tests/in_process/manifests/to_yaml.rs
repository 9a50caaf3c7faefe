//! `RouteTable::to_yaml`, as people see it.

use std::time::Duration;

use tower_model_route::{
    ModelMatch, ModelRoute, ModelServer, RouteTable, Rule, StringMatch, TargetModel, TrafficPolicy,
    manifest::Manifests,
};

use super::written::{build, route, server};

#[test]
fn it_is_what_a_human_would_write() {
    let table = RouteTable::builder()
        .model_server(
            ModelServer::new("ml/small")
                .model("Qwen/Qwen3-8B")
                .endpoint("http://10.0.0.1:8000")
                .endpoint("http://10.0.0.2")
                .traffic_policy(
                    TrafficPolicy::new()
                        .timeout(Duration::from_millis(1500))
                        .max_retries(2)
                        .max_in_flight(64),
                ),
        )
        .model_server(ModelServer::new("ml/large").endpoint("https://large.example/v1"))
        .model_route(
            ModelRoute::new("ml/chat")
                .model_name("chat")
                .lora_adapter("lora-A")
                .rule(
                    Rule::new("premium")
                        .when(ModelMatch::new().header("user-type", StringMatch::exact("premium")))
                        .target("ml/large")
                        .fallback("ml/small"),
                )
                .rule(
                    Rule::new("default")
                        .target(TargetModel::new("ml/small").weight(70))
                        .target(TargetModel::new("ml/large").weight(30)),
                ),
        )
        .build()
        .unwrap();
    assert_eq!(
        table.to_yaml(),
        "\
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: small
  namespace: ml
  annotations:
    tower-model-route/traffic-policy: |
      maxInFlight: 64
spec:
  model: Qwen/Qwen3-8B
  inferenceEngine: vLLM
  endpoints:
  - name: endpoint-1
    address: \"10.0.0.1\"
    port: 8000
  - name: endpoint-2
    address: \"10.0.0.2\"
    port: 80
  trafficPolicy:
    timeout: 1s500ms
    retry:
      attempts: 2
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: large
  namespace: ml
  annotations:
    tower-model-route/endpoints: |
      - https://large.example/v1
spec:
  inferenceEngine: vLLM
  trafficPolicy:
    retry:
      attempts: 0
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata:
  name: chat
  namespace: ml
  annotations:
    tower-model-route/rules: |
      premium:
        fallbacks:
        - small
spec:
  modelName: chat
  loraAdapters:
  - lora-A
  rules:
  - name: premium
    modelMatch:
      headers:
        user-type:
          exact: premium
    targetModels:
    - modelServerName: large
  - name: default
    targetModels:
    - modelServerName: small
      weight: 70
    - modelServerName: large
      weight: 30
"
    );
}

#[test]
fn names_that_kubernetes_would_not_take_are_kept_in_an_annotation() {
    let table = RouteTable::builder()
        .model_server(ModelServer::new("Small one"))
        .model_server(ModelServer::new("small-one"))
        .model_server(ModelServer::new("\u{1f600}"))
        .model_route(
            ModelRoute::new("b")
                .model_name("m")
                .rule(Rule::new("x").target("small-one")),
        )
        .model_route(
            ModelRoute::new("a")
                .model_name("m")
                .rule(Rule::new("x").target("\u{1f600}")),
        )
        .build()
        .unwrap();
    let yaml = table.to_yaml();
    for line in [
        "  name: small-one\n",
        "  name: small-one-2\n",
        "  name: unnamed\n",
        "    tower-model-route/name: Small one\n",
        // b before a
        "  resourceVersion: \"1\"\n",
    ] {
        assert!(yaml.contains(line), "{line}{yaml}");
    }
    let read = Manifests::from_yaml(&yaml).build().unwrap();
    let names = |table: &RouteTable| -> Vec<String> {
        table
            .servers()
            .iter()
            .map(|server| server.name().to_owned())
            .collect()
    };
    assert_eq!(names(&read), names(&table));
    assert_eq!(read.to_yaml(), yaml);
}

#[test]
fn manifests_that_were_read_are_written_without_made_up_names() {
    let table = build(&[
        server("a/s", &[]),
        server("b/s", &[]),
        route(
            "b/r",
            &["modelName: m\nrules: [{targetModels: [{modelServerName: s}]}]"],
        ),
    ]);
    let yaml = table.to_yaml();
    assert!(!yaml.contains("annotations"), "{yaml}");
    assert_eq!(Manifests::from_yaml(&yaml).build().unwrap().to_yaml(), yaml);
}

#[test]
fn an_empty_table_is_an_empty_text() {
    assert_eq!(RouteTable::builder().build().unwrap().to_yaml(), "");
    assert!(Manifests::from_yaml("").build().is_ok());
}

/// What YAML could take for anything else than a text.
#[test]
fn every_text_is_read_back_as_it_was() {
    let texts = [
        "Yes",
        "null",
        "~",
        "1",
        "-1.5e3",
        "0x1f",
        "1s",
        "2026-11-28",
        "a:",
        "a: b",
        "- a",
        "#a",
        "a #b",
        "'a'",
        "\"a\"",
        "a\\",
        "a\nb",
        "a\n",
        " a ",
        "\t",
        "[a]",
        "{a}",
        "*a",
        "&a",
        "!a",
        "|",
        ">",
        "%a",
        "@a",
        "`a",
        "\u{feff}\u{e9}",
        "\u{7f}",
        "\u{1f600}",
        "---",
        "...",
    ];
    for text in texts {
        let condition = StringMatch::exact(text);
        let rule = Rule::new(text)
            .when(
                ModelMatch::new()
                    .header("x-text", condition)
                    .body_model(text),
            )
            .target("a/s")
            .fallback("a/t");
        let servers = ["a/s", "a/t"].map(|name| ModelServer::new(name).model(text));
        let table = RouteTable::builder().model_route(
            ModelRoute::new("a/r")
                .model_name(text)
                .lora_adapter(text)
                .rule(rule),
        );
        let table = servers
            .into_iter()
            .fold(table, |table, server| table.model_server(server));
        let table = table.build().unwrap();
        let yaml = table.to_yaml();
        let read = Manifests::from_yaml(&yaml).build();
        let read = read.unwrap_or_else(|error| panic!("{text:?}: {error}\n{yaml}"));
        let (read, config) = (read.config(), table.config());
        assert_eq!(read.get_model_routes(), config.get_model_routes(), "{yaml}");
        assert_eq!(
            read.get_model_servers(),
            config.get_model_servers(),
            "{yaml}"
        );
    }
}
