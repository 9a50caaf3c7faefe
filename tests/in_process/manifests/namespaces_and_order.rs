//! Namespaces, and the order of routes that share a name.

use proptest::{option, prelude::*, sample::select};
use tower_model_route::manifest::Manifests;

use super::written::{build, decide, errors, route, up};

const TO_S: &str = "modelName: m\nrules: [{targetModels: [{modelServerName: s}]}]";

#[test]
fn targets_are_in_the_routes_own_namespace() {
    let yaml = up("a/s") + &up("b/s") + &route("a/r", &[TO_S]);
    assert_eq!(
        decide(&build(&[yaml]), "m"),
        "a/r rule-1 -> a/s http://s:8000"
    );
    let yaml = up("a/s") + &route("b/r", &[TO_S]);
    assert_eq!(
        errors(&yaml),
        [
            "18:45 spec.rules[0].targetModels[0].modelServerName: there is no ModelServer \"s\" in the namespace \"b\" [unknown-server]"
        ]
    );
    // Not even by its full name.
    let yaml = up("a/s") + &route("b/r", &[&TO_S.replace("Name: s", "Name: a/s")]);
    assert!(errors(&yaml)[0].contains("slash"), "{:?}", errors(&yaml));
    let yaml = up("s") + &route("r", &[&TO_S.replace("Name: s", "Name: S")]);
    assert!(
        errors(&yaml)[0].contains("did you mean \"s\"?"),
        "{:?}",
        errors(&yaml)
    );
}

#[test]
fn the_namespace_default_needs_no_name() {
    let yaml = up("default/s") + &route("r", &[TO_S]);
    assert_eq!(
        decide(&build(&[yaml]), "m"),
        "default/r rule-1 -> default/s http://s:8000"
    );
}

#[test]
fn a_resource_that_is_there_twice_is_an_error_that_names_both_places() {
    let yaml = up("s") + &up("s") + &route("r", &[TO_S]) + &route("r", &[TO_S]);
    let found = errors(&yaml);
    assert_eq!(
        found,
        [
            "13:9 metadata.name: there is already a ModelServer \"default/s\", in <yaml> line 5 [duplicate-resource]",
            "29:9 metadata.name: there is already a ModelRoute \"default/r\", in <yaml> line 21 [duplicate-resource]",
        ]
    );
    // Other namespaces and other kinds have names of their own.
    assert_eq!(
        errors(&(up("a/x") + &up("b/x") + &route("a/x", &[&TO_S.replace("Name: s", "Name: x")]))),
        [""; 0]
    );
}

/// The routes of a name in the order in which they are tried.
fn order(routes: &[(&str, &str)]) -> Vec<String> {
    // The first one is taken away, and then the next one comes.
    let mut left: Vec<_> = routes.to_vec();
    let mut order = Vec::new();
    while !left.is_empty() {
        let mut yaml: String = left
            .iter()
            .map(|(name, metadata)| {
                route(name, &[TO_S]).replace("metadata:\n", &format!("metadata:\n{metadata}"))
            })
            .collect();
        let mut namespaces: Vec<_> = left
            .iter()
            .map(|(name, _)| name.split('/').next().unwrap())
            .collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        for namespace in namespaces {
            yaml += &up(&format!("{namespace}/s"));
        }
        let first = decide(&build(&[yaml]), "m")
            .split(' ')
            .next()
            .unwrap()
            .to_owned();
        left.retain(|(name, _)| *name != first);
        order.push(first);
    }
    order
}

#[test]
fn the_oldest_route_is_tried_first() {
    assert_eq!(
        order(&[
            (
                "z/young",
                "  creationTimestamp: \"2025-06-01T00:00:00Z\"\n  resourceVersion: \"1\"\n"
            ),
            (
                "a/offset",
                "  creationTimestamp: 2025-01-01T00:30:00+01:00\n"
            ),
            (
                "y/old",
                "  creationTimestamp: \"2024-12-31T23:00:00Z\"\n  resourceVersion: \"3\"\n"
            ),
        ]),
        ["y/old", "a/offset", "z/young"]
    );
}

#[test]
fn then_the_version_counts_as_a_number_and_then_the_name() {
    let time = "  creationTimestamp: \"2025-06-01T00:00:00Z\"\n";
    let versions = [10, 9, 9, 9].map(|version| format!("{time}  resourceVersion: \"{version}\"\n"));
    assert_eq!(
        order(&[
            ("a/a", &versions[0]),
            ("c/a", &versions[1]),
            ("b/b", &versions[2]),
            ("b/a", &versions[3]),
        ]),
        ["b/a", "b/b", "c/a", "a/a"]
    );
}

/// A route's namespace, name, year and version.
type Aged = (&'static str, &'static str, Option<u32>, Option<u32>);

fn aged() -> impl Strategy<Value = Vec<Aged>> {
    let name = (select(vec!["a", "b"]), select(vec!["a", "b", "c", "d"]));
    let age = (option::of(2024..2026_u32), option::of(9..12_u32));
    let all = prop::collection::btree_map(name, age, 1..8);
    all.prop_map(|all| {
        let all = all.into_iter();
        all.map(|((namespace, name), (year, version))| (namespace, name, year, version))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// What has no time, or no version, comes before what has one; the files' order says nothing.
    #[test]
    fn the_order_is_total(
        (sorted, shuffled) in aged().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
    ) {
        let mut expected = sorted;
        expected.sort_by_key(|(namespace, name, year, version)| (*year, *version, *namespace, *name));
        let mut yaml = up("a/s") + &up("b/s");
        for (namespace, name, year, version) in shuffled {
            let mut metadata = "metadata:\n".to_owned();
            if let Some(year) = year {
                metadata += &format!("  creationTimestamp: \"{year}-01-01T00:00:00Z\"\n");
            }
            if let Some(version) = version {
                metadata += &format!("  resourceVersion: \"{version}\"\n");
            }
            yaml += &route(&format!("{namespace}/{name}"), &[TO_S]).replace("metadata:\n", &metadata);
        }
        let table = build(&[yaml]);
        let routes = table.config().get_model_routes().iter();
        let names: Vec<&str> = routes.map(|route| route.get_name()).collect();
        let expected: Vec<String> =
            expected.iter().map(|(namespace, name, ..)| format!("{namespace}/{name}")).collect();
        prop_assert_eq!(names, expected);
    }
}

#[test]
fn times_that_are_none_are_errors() {
    let yaml = up("s")
        + &route("r", &[TO_S])
            .replace("metadata:\n", "metadata:\n  creationTimestamp: yesterday\n");
    assert_eq!(errors(&yaml).len(), 1, "{:?}", errors(&yaml));
}

#[test]
fn merged_sets_are_one() {
    let servers = Manifests::from_yaml(&up("s"));
    let routes = Manifests::from_yaml(&route("r", &[TO_S]));
    assert!(routes.build().is_err());
    let table = servers.merge(routes).build().unwrap();
    assert!(decide(&table, "m").starts_with("default/r"));
}
