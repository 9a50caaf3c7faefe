//! Errors and warnings are where the mistake is, as compilers say it.

use tower_model_route::manifest::{Manifests, Severity};

use super::written::{errors, route, server, up};

/// What only the whole table can tell is found at its place as well.
#[test]
fn the_mistakes_of_the_table_are_placed() {
    let yaml = server(
        "s",
        &[
            "model: \"\"",
            "endpoints: [{name: a, address: h, port: 1}, {name: b, address: h b, port: 1}]",
        ],
    ) + &route(
        "r",
        &["modelName: m
loraAdapters: [a, b, '', '']
rules:
- name: first
  modelMatch:
    headers:
      \"not a header\": {exact: x}
      ok: {regex: \"(\"}
    uri: {regex: \"[\"}
    body: {model: \"\"}
  targetModels:
  - {modelServerName: s, weight: 0}
- name: second"],
    ) + &route("q", &["rules: [{targetModels: [{modelServerName: s}]}]"]);
    let found: Vec<String> = errors(&yaml)
        .iter()
        .map(|line| {
            let (place, rest) = line.split_once(": ").unwrap();
            format!(
                "{place} | {}",
                rest.split([':', '[']).next().unwrap().trim()
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            "8:10 spec.model | the name is empty",
            "9:66 spec.endpoints[1].address | this is not an endpoint",
            "17:24 spec.loraAdapters[2] | the name is empty",
            "17:28 spec.loraAdapters[3] | the name is empty",
            "19:5 spec.rules[0] | all weights are 0",
            "22:25 spec.rules[0].modelMatch.headers[\"not a header\"] | this is not a valid header name",
            "23:13 spec.rules[0].modelMatch.headers.ok | the regular expression does not compile",
            "24:20 spec.rules[0].modelMatch.uri.regex | the regular expression does not compile",
            "25:21 spec.rules[0].modelMatch.body.model | the name is empty",
            "28:5 spec.rules[1] | it has no target",
            "33:9 metadata.name | it has neither a model_name nor a LoRA adapter",
        ],
        "{found:#?}"
    );
}

/// Each of several that it can't be without is an error of its own, and nothing else is.
#[test]
fn what_follows_from_a_mistake_is_not_said() {
    let spec = |spec: &str| {
        format!("endpoints: [{{name: a, address: h}}, {{name: b, address: i}}]\n{spec}")
    };
    for port in ["80000", "0", "8000.0", "0x1F40", "[]"] {
        let own = server("s", &[&spec(&format!("workloadPort: {{port: {port}}}"))]);
        let pods = server(
            "s",
            &[
                "workloadSelector: {matchLabels: {app: x}}",
                &format!("workloadPort: {{port: {port}}}"),
            ],
        ) + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: x}}\nstatus: {podIP: 10.0.0.1}\n";
        for yaml in [own, pods] {
            let found = errors(&yaml);
            assert_eq!(found.len(), 1, "{port}: {found:?}");
            assert!(found[0].contains(" spec.workloadPort.port: "), "{found:?}");
            assert_eq!(no_endpoints(&yaml), 0, "{port}");
        }
    }
    let without = server("s", &[&spec("workloadPort:")]);
    assert_eq!(errors(&without).len(), 2, "{:?}", errors(&without));
    for kind in ["ModelRoute", "ModelServer"] {
        for spec in ["", "spec: []\n", "spec: x\n"] {
            let yaml = format!(
                "apiVersion: networking.serving.volcano.sh/v1alpha1\nkind: {kind}\nmetadata: {{name: x}}\n{spec}"
            );
            let found = errors(&yaml);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(" spec: "), "{found:?}");
            assert_eq!(no_endpoints(&yaml), 0, "{yaml}");
        }
    }
}

fn no_endpoints(yaml: &str) -> usize {
    let report = Manifests::from_yaml(yaml).check();
    let found = report.warnings();
    found.filter(|it| it.code() == "no-endpoints").count()
}

/// Also where Kthena's `trafficPolicy` and this crate's annotation each have some of them.
#[test]
fn the_mistakes_of_a_traffic_policy_are_at_the_option() {
    let yaml = "\
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: s
  annotations:
    tower-model-route/traffic-policy: |
      totalTimeout: 0s
      retryStatuses: [400]
      maxRetryInterval: 1s
      outlierDetection:
        maxEjectionPercent: 101
spec:
  inferenceEngine: vLLM
  trafficPolicy: {retry: {attempts: 2, retryInterval: 3s}}
";
    let annotation = "metadata.annotations[\"tower-model-route/traffic-policy\"]";
    let places = [
        "7:21 {}.totalTimeout: ",
        "8:22 {}.retryStatuses: ",
        "9:25 {}.maxRetryInterval: ",
        "11:29 {}.outlierDetection.maxEjectionPercent: ",
    ];
    let found = errors(yaml);
    assert_eq!(found.len(), places.len(), "{found:#?}");
    for (found, place) in found.iter().zip(places) {
        let place = place.replace("{}", annotation);
        assert!(found.starts_with(&place), "{found}");
    }
}

#[test]
fn lints_are_placed_too() {
    let yaml = up("s")
        + &route(
            "r",
            &[
                "modelName: m\nrules:\n- targetModels: [{modelServerName: s}]\n- name: never\n  targetModels: [{modelServerName: s}]",
            ],
        );
    let report = Manifests::from_yaml(&yaml).check();
    let shown = report.to_string();
    let shown: Vec<_> = shown
        .lines()
        .filter(|line| !line.starts_with("note: "))
        .collect();
    assert_eq!(
        shown.join("\n"),
        "<yaml>:18:5: warning: document 2, spec.rules[1]: ModelRoute \"default/r\", rule \"never\": \
         it is never reached: all that it matches goes to the rule \"rule-1\" before it \
         [unreachable-rule]\nno errors, 1 warning"
    );
}

#[test]
fn a_diagnostic_is_data() {
    let yaml = up("s")
        + &route(
            "r",
            &["modelName: m\nrules: [{targetModels: [{modelServerName: t}]}]"],
        );
    let error = Manifests::from_yaml(&yaml).build().unwrap_err();
    let found = error.errors().next().unwrap();
    assert_eq!(found.severity(), Severity::Error);
    assert_eq!(found.code(), "unknown-server");
    assert_eq!(found.file(), Some("<yaml>"));
    assert_eq!(
        (found.document(), found.line(), found.column()),
        (2, 16, 45)
    );
    assert_eq!(
        found.field(),
        "spec.rules[0].targetModels[0].modelServerName"
    );
    assert_eq!(
        error.to_string(),
        "1 mistake in the manifests\n<yaml>:16:45: error: document 2, spec.rules[0].targetModels[0].modelServerName: \
         there is no ModelServer \"t\" in the namespace \"default\", did you mean \"s\"? [unknown-server]"
    );
}
