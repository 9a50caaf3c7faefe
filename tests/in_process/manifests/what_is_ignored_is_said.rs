//! What is ignored is said.

use super::written::{build, decide, errors, route, server, up, warnings};

#[test]
fn unknown_fields_are_named_with_the_nearest_known_one() {
    let yaml = server("s", &["modle: x", "workloadPort: {port: 1, prot: http}"])
        + &route(
            "r",
            &[
                "modelName: m\nrules:\n- targetmodels: []\n  targetModels: [{modelServerName: s, wieght: 5}]\nzzz: 1",
            ],
        );
    let found: Vec<String> = warnings(&yaml);
    assert_eq!(
        found,
        [
            "8:3 spec.modle: this field is unknown and ignored, did you mean \"model\"? [unknown-field]",
            "9:27 spec.workloadPort.prot: this field is unknown and ignored, did you mean \"port\"? [unknown-field]",
            "18:5 spec.rules[0].targetmodels: this field is unknown and ignored, did you mean \"targetModels\"? [unknown-field]",
            "19:41 spec.rules[0].targetModels[0].wieght: this field is unknown and ignored, did you mean \"weight\"? [unknown-field]",
            "20:3 spec.zzz: this field is unknown and ignored [unknown-field]",
        ]
    );
}

#[test]
fn other_kinds_are_passed_over_in_silence() {
    let yaml = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {replicas: 1, replicas: 2}\n---\n\
                apiVersion: v1\nkind: Service\n---\n\
                apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  name: g\n";
    assert_eq!(errors(yaml), [""; 0]);
    assert_eq!(warnings(yaml), [""; 0]);
}

#[test]
fn kinds_that_look_like_ours_are_not() {
    let other = |version: &str, kind: &str| {
        format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n")
    };
    let group = "networking.serving.volcano.sh";
    assert_eq!(
        errors(&other(&format!("{group}/v1alpha1"), "ModelRout")),
        [
            "2:7 kind: the kind \"ModelRout\" is unknown, did you mean \"ModelRoute\"? [unknown-kind]"
        ]
    );
    assert_eq!(
        errors(&other(&format!("{group}/v1"), "ModelRoute")).len(),
        1
    );
    assert_eq!(warnings(&other("example.com/v1", "ModelServer")).len(), 1);
    assert_eq!(
        warnings(&other(
            &format!("{group}/v1alpha1"),
            "ExternalModelProvider"
        ))
        .len(),
        1
    );
}

#[test]
fn what_is_no_resource_is_an_error() {
    for (yaml, count) in [
        ("a: 1\n", 2),
        ("kind: ModelRoute\n", 1),
        ("- a\n", 1),
        ("text\n", 1),
        (
            "apiVersion: networking.serving.volcano.sh/v1alpha1\nkind: ModelRoute\n",
            1,
        ),
        (
            "apiVersion: networking.serving.volcano.sh/v1alpha1\nkind: ModelRoute\nmetadata: {}\n",
            1,
        ),
        (
            "apiVersion: networking.serving.volcano.sh/v1alpha1\nkind: ModelServer\nmetadata: {name: x}\n",
            1,
        ),
    ] {
        assert_eq!(errors(yaml).len(), count, "{yaml}: {:?}", errors(yaml));
    }
}

/// Its share goes to the siblings; a rule that has nothing else can't serve.
#[test]
fn external_providers_are_targets_without_endpoints() {
    let yaml = up("s")
        + &route(
            "mixed",
            &[
                "modelName: m\nrules:\n- targetModels:\n  - {modelServerName: s, weight: 80}\n  - {externalModelProviderName: openai, weight: 20}",
            ],
        )
        + &route(
            "only",
            &["modelName: n\nrules:\n- targetModels: [{externalModelProviderName: openai}]"],
        );
    let table = build(&[&yaml]);
    assert!((0..50).all(|_| decide(&table, "m").contains("default/s ")));
    assert_eq!(decide(&table, "n"), "no_endpoint");
    let named = warnings(&yaml);
    assert_eq!(
        named
            .iter()
            .filter(|line| line.contains("not-acted-on"))
            .count(),
        2,
        "{named:?}"
    );
}

#[test]
fn newer_fields_that_are_not_acted_on_are_named() {
    let yaml = server(
        "s",
        &[
            "pipelineMode: vllm-epd",
            "trafficPolicy:\n  connectionPool: {maxIdleConnections: 1}\n  sessionSticky: {sources: [{type: Header, name: x-session}]}",
        ],
    );
    let named = warnings(&yaml);
    assert_eq!(named.len(), 2, "{named:?}");
    assert!(named.iter().all(|line| line.ends_with("[not-acted-on]")));
}
