//! Where a ModelServer's endpoints come from.

use tower_model_route::{Endpoint, RouteTable, manifest::Manifests};

use super::written::{build, errors, server};

/// The URIs of the first ModelServer.
fn uris(table: &RouteTable) -> Vec<String> {
    let servers = table.servers();
    let endpoints = servers[0].endpoints().iter();
    endpoints
        .map(|endpoint| endpoint.uri().to_owned())
        .collect()
}

const SELECTS: &str = "workloadSelector: {matchLabels: {app: x, tier: gpu}}";

fn selecting(name: &str, port: &str) -> String {
    server(name, &[SELECTS, port])
}

fn pod(name: &str, labels: &str, status: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{{labels}}}}}\nspec: {{}}\nstatus: {{{status}}}\n"
    )
}

#[test]
fn pods_are_found_by_their_labels() {
    let all = "app: x, tier: gpu, more: y";
    let ready =
        "conditions: [{type: Initialized, status: \"True\"}, {type: Ready, status: \"True\"}]";
    let yaml = selecting("s", "workloadPort: {port: 8000}")
        + &pod("a", all, &format!("podIP: 10.0.0.1, {ready}"))
        + &pod("b", "app: x", &format!("podIP: 10.0.0.2, {ready}"))
        + &pod(
            "c",
            all,
            "podIP: 10.0.0.3, conditions: [{type: Ready, status: \"False\"}]",
        )
        + &pod("d", all, "podIP: 10.0.0.4, phase: Running")
        + &pod("e", all, "phase: Pending")
        + &pod("f", all, &format!("podIP: fd00::1, {ready}"))
        + &pod(
            "g, namespace: other",
            all,
            &format!("podIP: 10.0.0.7, {ready}"),
        )
        + &pod(
            "h, deletionTimestamp: \"2025-01-01T00:00:00Z\"",
            all,
            &format!("podIP: 10.0.0.8, {ready}"),
        )
        // Lost or ended, but the last that was heard of it was good.
        + &pod("i", all, &format!("phase: Unknown, podIP: 10.0.0.9, {ready}"))
        + &pod("j", all, &format!("phase: Succeeded, podIP: 10.0.0.10, {ready}"))
        + &pod("k", all, &format!("phase: Running, podIP: 10.0.0.11, {ready}"))
        + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: template}\n";
    assert_eq!(
        uris(&build(&[yaml])),
        [
            "http://10.0.0.1:8000",
            "http://10.0.0.4:8000",
            "http://[fd00::1]:8000",
            "http://10.0.0.11:8000"
        ]
    );
}

/// A slice says the zone of each, and with topology-aware routing for which zone it is meant.
#[test]
fn slices_say_the_zones() {
    let slice = "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s}\n\
                 endpoints:\n\
                 - addresses: [10.0.0.1]\n  zone: eu-1a\n\
                 - addresses: [10.0.0.2]\n  zone: eu-1a\n  hints: {forZones: [{name: eu-1b}]}\n\
                 - addresses: [10.0.0.3]\n  hints: {forZones: []}\n\
                 ports: [{port: 8000}]\n";
    // The Pod of the first is found by its labels.
    let pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: x, tier: gpu}}\n\
               status: {phase: Running, podIP: 10.0.0.1}\n";
    let yaml = selecting("s", "workloadPort: {port: 8000}") + pod + slice;
    let table = build(&[yaml]);
    let endpoints = table.config().get_model_servers()[0].get_endpoints();
    let zones: Vec<_> = endpoints
        .iter()
        .map(|endpoint| (endpoint.get_uri(), endpoint.get_zone()))
        .collect();
    assert_eq!(
        zones,
        [
            ("http://10.0.0.1:8000", Some("eu-1a")),
            ("http://10.0.0.2:8000", Some("eu-1b")),
            ("http://10.0.0.3:8000", None),
        ]
    );
}

/// The shapes are those that `kubectl get endpoints,endpointslices -o yaml` shows.
#[test]
fn endpoints_and_slices_are_found_by_name_or_label() {
    let endpoints = |metadata: &str| {
        format!(
            "---\napiVersion: v1\nkind: Endpoints\nmetadata: {{{metadata}}}\nsubsets:\n- addresses:\n  - ip: 10.0.0.1\n    targetRef: {{kind: Pod}}\n  notReadyAddresses:\n  - ip: 10.0.0.9\n  ports:\n  - {{name: metrics, port: 9090}}\n  - {{name: http, port: 8001, protocol: TCP}}\n"
        )
    };
    let slice = |metadata: &str| {
        format!(
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{{metadata}}}\naddressType: IPv4\nendpoints:\n- addresses: [10.0.0.2]\n  conditions: {{ready: true, serving: true}}\n- addresses: [10.0.0.3]\n  conditions: {{ready: false}}\n- addresses: [10.0.0.4]\nports:\n- {{name: \"\", port: 8002, protocol: TCP}}\n"
        )
    };
    let service = "name: s-x7k2p, labels: {kubernetes.io/service-name: s}";
    let labels = "name: other, labels: {app: x, tier: gpu}";
    for metadata in ["name: s", labels] {
        let yaml = selecting("s", "") + &endpoints(metadata);
        assert_eq!(
            uris(&build(&[yaml])),
            ["http://10.0.0.1:8001"],
            "{metadata}"
        );
    }
    for metadata in ["name: s", service, labels] {
        let yaml = selecting("s", "") + &slice(metadata);
        assert_eq!(
            uris(&build(&[yaml])),
            ["http://10.0.0.2:8002", "http://10.0.0.4:8002"],
            "{metadata}"
        );
    }
    // The ModelServer's port and protocol win, and what comes twice counts once.
    let yaml = selecting("s", "workloadPort: {port: 8000, protocol: https}")
        + &endpoints("name: s")
        + &slice(service)
        + &slice("name: s");
    assert_eq!(
        uris(&build(&[yaml])),
        [
            "https://10.0.0.1:8000",
            "https://10.0.0.2:8000",
            "https://10.0.0.4:8000"
        ]
    );
    let yaml = selecting("s", "") + &endpoints("name: t") + &slice("name: s, namespace: other");
    assert_eq!(uris(&build(&[yaml])), [""; 0]);
}

#[test]
fn without_a_port_there_is_no_endpoint() {
    let yaml = selecting("s", "") + &pod("a", "app: x, tier: gpu", "podIP: 10.0.0.1");
    assert!(
        errors(&yaml)[0].contains("spec.workloadPort: it selects workloads"),
        "{:?}",
        errors(&yaml)
    );
}

/// A ModelServer without labels does not select all Pods.
#[test]
fn no_labels_select_nothing() {
    let yaml = server("s", &["workloadPort: {port: 1}\nworkloadSelector: {}"])
        + &pod("a", "app: x", "podIP: 10.0.0.1");
    assert_eq!(uris(&build(&[yaml])), [""; 0]);
}

#[test]
fn kthenas_static_endpoints_are_read() {
    let yaml = server(
        "s",
        &[
            "workloadPort: {port: 8000}\nendpoints:\n- {name: a, address: 127.0.0.1}\n- {name: b, address: gpu-1.example.com, port: 8001}\n- {name: c, address: \"::1\", port: 8002}",
        ],
    );
    assert_eq!(
        uris(&build(&[yaml])),
        [
            "http://127.0.0.1:8000",
            "http://gpu-1.example.com:8001",
            "http://[::1]:8002"
        ]
    );
    let yaml = server(
        "s",
        &[
            "endpoints:\n- {name: a, address: h}\n- {name: b, port: 1}\n- {name: c, address: \"a b\", port: 1}",
        ],
    );
    let found = errors(&yaml);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].contains("spec.endpoints[0].port"), "{found:?}");
    assert!(found[1].contains("spec.endpoints[1].address"), "{found:?}");
    // The table's own mistake, at the address that it comes from.
    assert!(
        found[2].starts_with("11:24 spec.endpoints[2].address: this is not an endpoint"),
        "{found:?}"
    );
}

#[test]
fn endpoints_can_be_given_in_code() {
    let yaml = server(
        "s",
        &[
            "workloadPort: {port: 9, protocol: https}",
            "model: real",
            SELECTS,
        ],
    ) + &server("ns/t", &[]);
    let table = Manifests::from_yaml(&yaml)
        .endpoints("s", ["http://a", "http://b:80"])
        .endpoints("default/s", ["http://b", "http://c"])
        .endpoints("ns/t", ["http://t"])
        .resolve(|server| {
            let labels: Vec<_> = server.match_labels().collect();
            if server.namespace() == "default" {
                assert_eq!(labels, [("app", "x"), ("tier", "gpu")]);
                assert_eq!((server.model(), server.port()), (Some("real"), Some(9)));
                vec![
                    format!("{}://{}-resolved", server.protocol(), server.name()),
                    "http://a".into(),
                ]
            } else {
                Vec::new()
            }
        })
        .build()
        .unwrap();
    assert_eq!(
        uris(&table),
        ["http://a", "http://b", "http://c", "https://s-resolved"]
    );
    assert_eq!(table.servers()[1].endpoints()[0].uri(), "http://t");
}

#[test]
fn endpoints_for_nobody_are_an_error() {
    let error = Manifests::from_yaml(&server("small", &[]))
        .endpoints("smal", ["http://a"])
        .build()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "1 mistake in the manifests\nerror: endpoints are given for \"default/smal\", but there is \
         no such ModelServer, did you mean \"default/small\"? [unknown-server]"
    );
}

#[test]
fn those_with_names_may_all_resolve() {
    let heavy = Endpoint::new("http://b").weight(3);
    let table = Manifests::from_yaml(&server("s", &[]))
        .endpoints("s", [heavy.clone(), "http://10.0.0.1".into()])
        .resolve_names()
        .build()
        .unwrap();
    let servers = table.config().get_model_servers();
    assert_eq!(
        servers[0].get_endpoints(),
        [heavy.resolve(true), "http://10.0.0.1".into()]
    );
}
