//! What Kthena's schema or webhook would refuse is a warning of one class.

use proptest::prelude::*;
use tower_model_route::manifest::Manifests;

use super::written::{errors, resource, route, server, up};

/// `field: reason` of each warning of the class.
fn refused(yaml: &str) -> Vec<String> {
    let begin = "Kthena would refuse this: ";
    Manifests::from_yaml(yaml)
        .check()
        .warnings()
        .filter(|warning| warning.code() == "refused-by-kthena")
        .map(|warning| {
            let reason = warning.message().strip_prefix(begin).unwrap();
            format!("{}: {reason}", warning.field())
        })
        .collect()
}

/// A spec that is in order, but for what `spec` says: then exactly that is refused, and it still works.
#[track_caller]
fn server_refused(spec: &[&str], what: &[&str]) {
    let yaml = server("s", spec);
    assert_eq!(refused(&yaml), what, "{yaml}");
    assert_eq!(errors(&yaml), [""; 0], "{yaml}");
}

const SELECTS: &str = "workloadSelector: {matchLabels: {app: x}}";
const PORT: &str = "workloadPort: {port: 8000}";
const OWN: &str = "endpoints: [{name: a, address: h, port: 1}]";

#[test]
fn a_model_server_says_where_its_engines_are_in_one_way() {
    let nowhere =
        "spec.workloadSelector: neither matchLabels nor endpoints say where its engines are";
    let no_port = "spec.workloadPort: there is no workloadPort";
    server_refused(&[SELECTS, PORT], &[]);
    server_refused(&[OWN], &[]);
    server_refused(&[PORT], &[nowhere]);
    server_refused(&["workloadSelector: {}", PORT], &[nowhere]);
    server_refused(&["workloadSelector: {matchLabels: {}}", PORT], &[nowhere]);
    server_refused(&[PORT, "endpoints: []"], &[nowhere]);
    server_refused(&[SELECTS], &[no_port]);
    server_refused(
        &[SELECTS, PORT, OWN],
        &["spec.endpoints: endpoints and matchLabels exclude each other"],
    );
}

#[test]
fn endpoints_have_names_of_their_own() {
    server_refused(
        &[
            "endpoints:\n- {name: a, address: h, port: 1}\n- {name: a, address: i, port: 1}\n- {address: j, port: 1}\n- {name: Bad_Name, address: k, port: 1}\n- {name: b, address: l_m, port: 1}",
        ],
        &[
            "spec.endpoints[1].name: there is already an endpoint \"a\"",
            "spec.endpoints[2].name: there is no name",
            "spec.endpoints[3].name: \"Bad_Name\" is not a DNS name",
            "spec.endpoints[4].address: \"l_m\" is not an IP address or a DNS name",
        ],
    );
    let many: String = (0..1025)
        .map(|i| format!("- {{name: e{i}, address: h{i}, port: 1}}\n"))
        .collect();
    server_refused(
        &[&format!("endpoints:\n{many}")],
        &["spec.endpoints: 1025 endpoints, at most 1024"],
    );
}

#[test]
fn labels_are_those_that_kubernetes_takes() {
    server_refused(
        &[
            "workloadSelector: {matchLabels: {app: x y, 'b c': d}}",
            PORT,
        ],
        &[
            "spec.workloadSelector.matchLabels.app: \"x y\" is not the value of a label",
            "spec.workloadSelector.matchLabels[\"b c\"]: \"b c\" is not the key of a label",
        ],
    );
    server_refused(
        &[
            "workloadSelector:\n  matchLabels: {app: x}\n  pdGroup: {groupKey: '', prefillLabels: {a: '-'}, encodeLabels: {}}",
            PORT,
        ],
        &[
            "spec.workloadSelector.pdGroup.decodeLabels: there are no decodeLabels",
            "spec.workloadSelector.pdGroup.groupKey: there is no groupKey",
            "spec.workloadSelector.pdGroup.prefillLabels.a: \"-\" is not the value of a label",
        ],
    );
    let yaml = server("s", &[OWN]).replace("name: s\n", "name: s\n  labels: {team: 'a b'}\n");
    assert_eq!(
        refused(&yaml),
        ["metadata.labels.team: \"a b\" is not the value of a label"]
    );
}

#[test]
fn the_rest_of_a_model_server() {
    let yaml = resource("ModelServer", "s", &[OWN]);
    assert_eq!(
        refused(&yaml),
        ["spec.inferenceEngine: there is no inferenceEngine: vLLM or SGLang"]
    );
    let model = |length| format!("model: {}", "m".repeat(length));
    server_refused(&[OWN, &model(256)], &[]);
    server_refused(
        &[OWN, &model(257)],
        &["spec.model: longer than 256 characters"],
    );
    server_refused(
        &[OWN, "pipelineMode: fast"],
        &["spec.pipelineMode: none of vllm-epd, sglang-epd, pd-disaggregated"],
    );
    server_refused(
        &[
            OWN,
            "trafficPolicy:\n  connectionPool: {maxIdleConnections: -1, maxConnectionsPerHost: 0, idleTimeout: 0s}",
        ],
        &[
            "spec.trafficPolicy.connectionPool.maxIdleConnections: not a whole number from 0 on",
            "spec.trafficPolicy.connectionPool.idleTimeout: not a duration longer than 0",
        ],
    );
}

#[test]
fn each_number_of_a_connection_pool() {
    let names = [
        "maxIdleConnections",
        "maxIdleConnectionsPerHost",
        "maxConnectionsPerHost",
    ];
    for name in names {
        let pool = |value: &str| format!("trafficPolicy: {{connectionPool: {{{name}: {value}}}}}");
        server_refused(&[OWN, &pool("0")], &[]);
        for value in ["-1", "1.5", "many"] {
            let what =
                format!("spec.trafficPolicy.connectionPool.{name}: not a whole number from 0 on");
            server_refused(&[OWN, &pool(value)], &[&what]);
        }
    }
}

#[test]
fn sessions_have_not_too_many_sources() {
    let sources = |count| {
        let sources = times(count, |i| format!("{{type: Header, name: h{i}}}"));
        format!("trafficPolicy: {{sessionSticky: {{sources: [{sources}]}}}}")
    };
    let path = "spec.trafficPolicy.sessionSticky.sources";
    server_refused(&[OWN, &sources(16)], &[]);
    let many = format!("{path}: 17 sources, at most 16");
    server_refused(&[OWN, &sources(17)], &[&many]);
}

/// `count` items of a list.
fn times(count: usize, item: impl Fn(usize) -> String) -> String {
    let items: Vec<_> = (0..count).map(item).collect();
    items.join(", ")
}

#[track_caller]
fn route_refused(spec: &str, what: &[&str]) {
    let servers: String = (0..17).map(|i| up(&format!("s{i}"))).collect();
    let yaml = servers + &route("r", &[spec]);
    assert_eq!(refused(&yaml), what, "{spec}");
    assert_eq!(errors(&yaml), [""; 0], "{spec}");
}

#[test]
fn a_model_route_has_only_so_much_of_each() {
    let spec = |adapters, rules, targets| {
        let adapters = times(adapters, |i| format!("a{i}"));
        let targets = times(targets, |i| format!("{{modelServerName: s{i}}}"));
        let rules = times(rules, |_| format!("{{targetModels: [{targets}]}}"));
        format!("modelName: m\nloraAdapters: [{adapters}]\nrules: [{rules}]")
    };
    route_refused(&spec(10, 16, 16), &[]);
    route_refused(
        &spec(11, 17, 1),
        &[
            "spec.loraAdapters: 11 loraAdapters, at most 10",
            "spec.rules: 17 rules, at most 16",
        ],
    );
    route_refused(
        &spec(0, 1, 17),
        &["spec.rules[0].targetModels: 17 targetModels, at most 16"],
    );
}

#[test]
fn the_rest_of_a_model_route() {
    let target = "rules: [{targetModels: [{modelServerName: s0}]}]";
    route_refused(
        "loraAdapters: [a]\nrules: [{targetModels: [{externalModelProviderName: p}]}]",
        &[
            "spec.rules[0].targetModels[0].externalModelProviderName: a route with loraAdapters \
             has only ModelServers as targets",
        ],
    );
    route_refused(
        &format!("modelName: m\n{target}\nrateLimit: {{unit: hour, global: {{redis: {{}}}}}}"),
        &["spec.rateLimit.global.redis.address: there is no address"],
    );
    route_refused(
        &format!(
            "modelName: m\n{target}\nparentRefs: [{{name: g, kind: Gateway, namespace: ns, group: '', port: 80}}, {{kind: 0x, port: 0}}]"
        ),
        &[
            "spec.parentRefs[1].name: there is no name",
            "spec.parentRefs[1].kind: \"0x\" is not a kind",
            "spec.parentRefs[1].port: not a whole number from 1 to 65535",
        ],
    );
}

#[test]
fn a_gateway_is_named_as_kubernetes_names_one() {
    let target = "rules: [{targetModels: [{modelServerName: s0}]}]";
    let parent = |parent: &str, what: &[&str]| {
        let what: Vec<_> = what
            .iter()
            .map(|what| format!("spec.parentRefs[0].{what}"))
            .collect();
        let what: Vec<_> = what.iter().map(String::as_str).collect();
        let spec = format!("modelName: m\n{target}\nparentRefs: [{{{parent}}}]");
        route_refused(&spec, &what);
    };
    parent(
        "name: g, group: gateway.networking.k8s.io, namespace: ns, sectionName: web.https",
        &[],
    );
    for group in ["Gateway", "a_b", ".a", "a..b"] {
        let what = format!("group: {group:?} is not a group");
        parent(&format!("name: g, group: {group}"), &[&what]);
    }
    let long = "n".repeat(64);
    for namespace in ["a.b", "A", "-a", &long] {
        let what = format!("namespace: {namespace:?} is not a namespace");
        parent(&format!("name: g, namespace: {namespace}"), &[&what]);
    }
    for section in ["A", "a_b", "a-"] {
        let what = format!("sectionName: {section:?} is not a sectionName");
        parent(&format!("name: g, sectionName: {section}"), &[&what]);
    }
    parent(&format!("name: {}", "n".repeat(253)), &[]);
    parent(
        &format!("name: {}", "n".repeat(254)),
        &["name: longer than 253 characters"],
    );
}

/// Where this crate could not follow it either, it is an error as before.
#[test]
fn what_means_nothing_is_an_error() {
    let with = |spec: &str| up("s") + &route("r", &[spec]);
    for spec in [
        "modelName: m\nrules: []",
        "modelName: m\nrules: [{targetModels: [{modelServerName: s, weight: 0}]}]",
    ] {
        assert_eq!(errors(&with(spec)).len(), 1, "{spec}");
    }
}

#[test]
fn a_class_of_warnings_can_be_denied() {
    let yaml = server("s", &[PORT]);
    let manifests = Manifests::from_yaml(&yaml);
    assert!(manifests.build().is_ok());
    let other = manifests.clone().deny("unknown-field");
    assert!(other.build().is_ok());
    // Of the reader, and of the linter.
    for code in ["refused-by-kthena", "no-endpoints"] {
        let denied = Manifests::new().deny(code).merge(manifests.clone());
        let error = denied.build().unwrap_err();
        assert_eq!(error.errors().count(), 1, "{error}");
        assert!(error.to_string().ends_with(&format!("[{code}]")), "{error}");
        assert!(denied.check().has_errors());
    }
}

/// A cluster's export without its Pods: one thing is missing, not one for each ModelServer.
#[test]
fn that_pods_are_missing_is_said_once() {
    let without = |yaml: &str| -> Vec<String> {
        let report = Manifests::from_yaml(yaml).check();
        let warnings = report.warnings();
        let warnings = warnings.filter(|warning| warning.code() == "no-endpoints");
        warnings
            .map(|warning| format!("{} {}", warning.line(), warning.message()))
            .collect()
    };
    let selecting = |name: &str| server(name, &[SELECTS, PORT]);
    let nowhere = server("d", &[PORT]);
    let found =
        without(&(selecting("a") + &up("b") + &nowhere + &selecting("c") + &selecting("e")));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("5 this and 2 more ModelServers"));
    assert!(found[1].contains("ModelServer \"default/d\""));
    let found = without(&selecting("a"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("5 ModelServer \"default/a\""));
}

proptest! {
    /// Kubernetes' own rule, as its documentation has it, by a regular expression.
    #[test]
    fn a_label_is_refused_only_where_kubernetes_refuses_it(
        key in "([a-zA-Z0-9./_-]{0,6}/)?[a-zA-Z0-9._ -]{1,66}",
        value in "[a-zA-Z0-9._ -]{0,66}",
    ) {
        let part = "[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?";
        let dns = "[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*";
        let is = |pattern: String, text: &str| regex::Regex::new(&pattern).unwrap().is_match(text);
        let bad_key = !is(format!("^({dns}/)?{part}$"), &key);
        let bad_value = !is(format!("^({part})?$"), &value);
        let labels = format!("workloadSelector: {{matchLabels: {{'{key}': '{value}'}}}}");
        let found = refused(&server("s", &[&labels, PORT]));
        prop_assert_eq!(found.len(), usize::from(bad_key) + usize::from(bad_value), "{:?}", found);
    }
}
