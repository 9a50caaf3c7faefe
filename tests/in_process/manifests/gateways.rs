//! `Manifests::gateway`: only what belongs to a Gateway is served.

use tower_model_route::{
    RouteTable,
    manifest::{Manifests, Severity},
};

use super::written::{decide, line, route, server, up, warnings};

/// A route of this name and model, with these `parentRefs` unless they are empty.
fn belonging(name: &str, parents: &str) -> String {
    let model = name.replace('/', "-");
    let spec = format!("modelName: {model}\nrules: [{{targetModels: [{{modelServerName: s}}]}}]");
    let parents = match parents {
        "" => String::new(),
        parents => format!("parentRefs: [{parents}]"),
    };
    route(name, &[&spec, &parents])
}

/// The names of the routes that are served.
fn served(table: &RouteTable) -> Vec<&str> {
    let routes = table.config().get_model_routes().iter();
    routes.map(|route| route.get_name()).collect()
}

fn through(gateway: &str, yaml: &str) -> Vec<String> {
    let table = Manifests::from_yaml(yaml).gateway(gateway).build();
    let table = table.unwrap_or_else(|error| panic!("{error}"));
    served(&table).into_iter().map(str::to_owned).collect()
}

/// Each parent as a route of the namespace `a` has it, and whether the Gateways `a/g`, its listener
/// `a/g/http`, and `b/g` serve the route.
#[test]
fn parents_are_those_of_the_gateway_api() {
    for (parents, expected) in [
        // Without a parent it belongs to all Gateways of its own namespace, as in Kthena.
        ("", [true, true, false]),
        ("{name: g}", [true, true, false]),
        ("{name: g, namespace: a}", [true, true, false]),
        ("{name: g, namespace: b}", [false, false, true]),
        ("{name: g, namespace: null}", [true, true, false]),
        ("{name: other}", [false, false, false]),
        (
            "{name: other}, {name: g, namespace: b}",
            [false, false, true],
        ),
        ("{name: g, kind: Gateway}", [true, true, false]),
        ("{name: g, kind: Service}", [false, false, false]),
        (
            "{name: g, group: gateway.networking.k8s.io}",
            [true, true, false],
        ),
        ("{name: g, group: example.com}", [false, false, false]),
        // The empty group is that of Services.
        ("{name: g, group: \"\"}", [false, false, false]),
        ("{name: g, sectionName: http}", [true, true, false]),
        ("{name: g, sectionName: https}", [true, false, false]),
        (
            "{name: g, sectionName: https}, {name: g, sectionName: http}",
            [true, true, false],
        ),
        // Kthena does not look at it.
        ("{name: g, port: 8080}", [true, true, false]),
    ] {
        let yaml = up("a/s") + &belonging("a/r", parents);
        let found = ["a/g", "a/g/http", "b/g"].map(|gateway| !through(gateway, &yaml).is_empty());
        assert_eq!(found, expected, "{parents}");
    }
}

#[test]
fn what_only_others_use_is_left_out_with_them() {
    let target =
        |server: &str| format!("rules: [{{targetModels: [{{modelServerName: {server}}}]}}]");
    let with = |name: &str, gateway: &str, server: &str| {
        let parents = format!("parentRefs: [{{name: {gateway}}}]");
        route(name, &["modelName: m", &target(server), &parents])
    };
    let yaml = up("own")
        + &up("shared")
        + &up("foreign")
        + &up("unused")
        + &with("r1", "mine", "own")
        + &with("r2", "mine", "shared")
        + &with("r3", "other", "shared")
        + &with("r4", "other", "foreign");
    let manifests = Manifests::from_yaml(&yaml)
        .gateway("default/mine")
        // It is there, though it is left out.
        .endpoints("foreign", ["http://e"]);
    let table = manifests.build().unwrap();
    assert_eq!(served(&table), ["default/r1", "default/r2"]);
    let servers = table.servers();
    let names: Vec<&str> = servers.iter().map(|server| server.name()).collect();
    assert_eq!(names, ["default/own", "default/shared", "default/unused"]);
    assert_eq!(
        decide(&table, "m"),
        "default/r1 rule-1 -> default/own http://own:8000"
    );
    let report = manifests.check();
    assert_eq!(
        report.notes().next(),
        Some("2 ModelRoutes belong to other Gateways than \"default/mine\", and are left out")
    );
    let said: Vec<_> = report.warnings().map(|warning| warning.code()).collect();
    assert!(
        !said.contains(&"not-acted-on") && !said.contains(&"no-routes"),
        "{said:?}"
    );
}

#[test]
fn without_it_all_are_served_and_parents_are_a_warning() {
    let yaml = up("a/s") + &belonging("a/r", "{name: g}") + &belonging("a/t", "");
    assert_eq!(
        warnings(&yaml),
        [
            "19:15 spec.parentRefs: Gateways are not acted on: the route serves every request that \
          comes to this router [not-acted-on]"
        ]
    );
    let manifests = Manifests::from_yaml(&yaml);
    assert_eq!(served(&manifests.build().unwrap()), ["a/r", "a/t"]);
    assert!(manifests.deny("not-acted-on").build().is_err());
}

/// Nothing at all is probably a name with a mistake in it.
#[test]
fn a_gateway_without_routes_is_a_warning() {
    let yaml = up("s") + &belonging("r", "{name: g}");
    let report = Manifests::from_yaml(&yaml).gateway("default/h").check();
    let found: Vec<_> = report.warnings().map(line).collect();
    assert_eq!(
        found,
        [
            "0:0 : no ModelRoute belongs to the Gateway \"default/h\": every request is answered with \
          404 [no-routes]"
        ]
    );
    let none = Manifests::from_yaml(&server("s", &[]))
        .gateway("default/h")
        .check();
    assert!(none.warnings().all(|warning| warning.code() != "no-routes"));
}

#[test]
fn what_is_no_gateway_is_one_error() {
    let yaml = up("s") + &belonging("r", "{name: g}");
    for text in [
        "", "g", "a/", "/g", "a/g/", "a/g/h/i", "A/g", "a.b/g", "a/g h",
    ] {
        for manifests in [
            Manifests::from_yaml(&yaml),
            Manifests::from_yaml(&yaml).lenient(),
        ] {
            let error = manifests.gateway(text).build().unwrap_err();
            let all: Vec<_> = error.report().diagnostics().iter().collect();
            assert_eq!(all.len(), 1, "{text:?}: {error}");
            assert_eq!(
                (all[0].severity(), all[0].code()),
                (Severity::Error, "invalid-name")
            );
            assert!(
                all[0]
                    .message()
                    .starts_with(&format!("{text:?} names no Gateway")),
                "{error}"
            );
        }
    }
}

#[test]
fn of_two_the_last_counts() {
    let yaml = up("s") + &belonging("r", "{name: g}");
    let manifests = Manifests::from_yaml(&yaml).gateway("nonsense");
    let merged = manifests.merge(Manifests::new().gateway("default/g"));
    assert_eq!(
        served(&merged.merge(Manifests::new()).build().unwrap()),
        ["default/r"]
    );
}
