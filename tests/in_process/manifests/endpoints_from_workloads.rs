//! Where a ModelServer's endpoints come from.

use tower_model_route::{Endpoint, RouteTable, manifest::Manifests};

use super::written::{build, errors, server, warnings};

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

/// The names of the first ModelServer's endpoints.
fn names(table: &RouteTable) -> Vec<Option<&str>> {
    let endpoints = table.config().get_model_servers()[0].get_endpoints();
    endpoints.iter().map(Endpoint::get_name).collect()
}

#[test]
fn endpoints_have_the_names_of_their_pods() {
    let all = "app: x, tier: gpu";
    let ready = "phase: Running, conditions: [{type: Ready, status: \"True\"}]";
    let slice = "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s}\n\
                 endpoints:\n\
                 - addresses: [10.0.0.1]\n  zone: eu-1a\n\
                 - addresses: [10.0.0.2]\n  targetRef: {kind: Pod, name: s-2}\n\
                 - addresses: [10.0.0.3]\n  targetRef: {kind: Node, name: n}\n";
    let endpoints = "---\napiVersion: v1\nkind: Endpoints\nmetadata: {name: s}\nsubsets:\n\
                     - addresses: [{ip: 10.0.0.4, targetRef: {kind: Pod, name: s-4}}, {ip: 10.0.0.5}]\n";
    // Of the first the slice says the zone, and the Pod its name.
    let yaml = selecting("s", "workloadPort: {port: 8000}")
        + slice
        + &pod("s-1", all, &format!("podIP: 10.0.0.1, {ready}"))
        + endpoints;
    let table = build(&[yaml]);
    let expected = [Some("s-1"), Some("s-2"), None, Some("s-4"), None];
    assert_eq!(names(&table), expected);
    let servers = table.config().get_model_servers();
    assert_eq!(servers[0].get_endpoints()[0].get_zone(), Some("eu-1a"));
    // The static ones have Kthena's name, unless it is one that only the schema asks for.
    let own = server(
        "s",
        &[
            "workloadPort: {port: 1}\nendpoints: [{name: endpoint-1, address: a}, {name: gpu-7, address: b}]",
        ],
    );
    let table = build(&[own]);
    assert_eq!(names(&table), [None, Some("gpu-7")]);
    let again = Manifests::from_yaml(&table.to_yaml()).build().unwrap();
    assert_eq!(again.config(), table.config());
}

/// In place of what it selects.
#[test]
fn a_service_is_named_by_an_annotation() {
    let slice = |metadata: &str, address: &str| {
        format!(
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{{metadata}}}\n\
             endpoints:\n- addresses: [{address}]\nports:\n- {{name: \"\", port: 8002}}\n"
        )
    };
    let all = "app: x, tier: gpu";
    let workloads = pod("p", all, "phase: Running, podIP: 10.0.0.1")
        + &slice(
            "name: engines-1, labels: {kubernetes.io/service-name: engines}",
            "10.0.0.2",
        )
        + &slice(
            "name: engines-2, labels: {kubernetes.io/service-name: engines}",
            "\"fd00::2\"",
        )
        + &slice(
            "name: engines, labels: {kubernetes.io/service-name: others}",
            "10.0.0.3",
        )
        + &slice("name: s", "10.0.0.4")
        + &slice(
            "name: engines-3, namespace: other, labels: {kubernetes.io/service-name: engines}",
            "10.0.0.5",
        )
        + "---\napiVersion: v1\nkind: Endpoints\nmetadata: {name: engines}\nsubsets:\n\
           - addresses: [{ip: 10.0.0.6}]\n  ports: [{port: 8003}]\n";
    let named = |port: &str| {
        let annotations = "metadata:\n  annotations: {tower-model-route/service: engines}\n";
        selecting("s", port).replace("metadata:\n", annotations)
    };
    let expected = [
        "http://10.0.0.2:8002",
        "http://[fd00::2]:8002",
        "http://10.0.0.6:8003",
    ];
    assert_eq!(uris(&build(&[named("") + &workloads])), expected);
    let expected = [
        "http://10.0.0.2:9",
        "http://[fd00::2]:9",
        "http://10.0.0.6:9",
    ];
    assert_eq!(
        uris(&build(&[named("workloadPort: {port: 9}") + &workloads])),
        expected
    );
    let wrong = named("").replace("service: engines", "service: \"other/engines\"");
    assert!(
        errors(&wrong)[0].contains("is not the name of a Service in the ModelServer's namespace"),
        "{:?}",
        errors(&wrong)
    );
}

/// A Service of both families has slices of both.
#[test]
fn a_pod_with_two_addresses_is_one_endpoint() {
    let slice = |name: &str, endpoints: &str, port: u16| {
        format!(
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
             metadata: {{name: {name}, labels: {{kubernetes.io/service-name: s}}}}\n\
             endpoints: [{endpoints}]\nports: [{{port: {port}}}]\n"
        )
    };
    let of = |pod: &str, address: &str| {
        format!("{{addresses: [\"{address}\"], targetRef: {{kind: Pod, name: {pod}}}}}")
    };
    let v6 = [of("a", "fd00::1"), of("b", "fd00::2")].join(", ");
    let v4 = [of("a", "10.0.0.1"), of("c", "10.0.0.3")].join(", ");
    let expected = [
        "http://10.0.0.1:1",
        "http://10.0.0.1:2",
        "http://10.0.0.3:1",
        "http://[fd00::2]:1",
    ];
    // Several engines of a Pod differ by their ports.
    let slices = [
        slice("s-6", &v6, 1),
        slice("s-4", &v4, 1),
        slice("s-2", &of("a", "10.0.0.1"), 2),
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let all: String = order.iter().map(|at| &*slices[*at]).collect();
        let mut found = uris(&build(&[selecting("s", "") + &all]));
        found.sort_unstable();
        assert_eq!(found, expected, "{order:?}");
    }
}

/// As Kthena's router finds them: they have the key with some value, and all the labels.
#[test]
fn of_a_pd_group_only_decode_pods_get_requests() {
    let selector = |decode: &str| {
        format!(
            "workloadSelector: {{matchLabels: {{app: x}}, pdGroup: {{groupKey: group, \
             prefillLabels: {{role: prefill}}, decodeLabels: {{{decode}}}}}}}\nworkloadPort: {{port: 1}}"
        )
    };
    let pods: String = [
        "app: x, group: g0, role: decode",
        "app: x, group: g0, role: prefill",
        "app: x, role: decode",
        "app: x, group: \"\", role: decode",
        "group: g0, role: decode",
        "app: x, group: g1, role: decode, more: y",
    ]
    .iter()
    .zip(1..)
    .map(|(labels, last)| pod("p", labels, &format!("podIP: 10.0.0.{last}")))
    .collect();
    let yaml = server("s", &[&selector("role: decode")]) + &pods;
    assert_eq!(
        uris(&build(&[yaml])),
        ["http://10.0.0.1:1", "http://10.0.0.6:1"]
    );
    // Without labels there is no decode Pod.
    let yaml = server("s", &[&selector("")]) + &pods;
    assert_eq!(uris(&build(&[yaml])), [""; 0]);
    // Without matchLabels nothing is selected, as ever.
    let yaml = server("s", &[&selector("role: decode").replace("app: x", "")]) + &pods;
    assert_eq!(uris(&build(&[yaml])), [""; 0]);
    // Those of its own say their role themselves, if they do.
    let own = "endpoints:\n\
               - {name: a, address: a, labels: {group: g, role: decode}}\n\
               - {name: b, address: b, labels: {group: g, role: prefill}}\n\
               - {name: c, address: c}";
    let yaml = server("s", &[&selector("role: decode").replace("app: x", ""), own]);
    assert_eq!(uris(&build(&[&yaml])), ["http://a:1", "http://c:1"]);
    // Who finds endpoints by the labels finds them, too.
    let table = Manifests::from_yaml(&server("s", &[&selector("role: decode")]))
        .resolve(|server| {
            let labels: Vec<_> = server.match_labels().collect();
            assert_eq!(labels, [("app", "x"), ("role", "decode")]);
            Vec::new()
        })
        .build();
    assert!(table.is_ok());
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

/// As Go reads it: without the label the selector would select more.
#[test]
fn a_label_left_blank_is_the_empty_text() {
    let pod = |name: &str, labels: &str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p{name}, labels: {{app: x{labels}}}}}\nstatus: {{podIP: 10.0.0.{name}}}\n"
        )
    };
    let server = server(
        "s",
        &[
            "workloadSelector: {matchLabels: {app: x, tier: }}",
            "workloadPort: {port: 80}",
        ],
    );
    let yaml = server
        + &pod("1", "")
        + &pod("2", ", tier: gold")
        + &pod("3", ", tier: ''")
        + &pod("4", ", tier: ");
    let table = Manifests::from_yaml(&yaml).build().unwrap();
    let endpoints = table.config().get_model_servers()[0].get_endpoints().iter();
    let names: Vec<_> = endpoints.filter_map(|it| it.get_name()).collect();
    assert_eq!(names, ["p3", "p4"]);
    assert_eq!(
        warnings(&yaml),
        [
            "8:48 spec.workloadSelector.matchLabels.tier: the label is left blank, which is the empty string [blank-label]"
        ]
    );
}
