//! Regular expressions mean what they mean in Go, there and back.

use tower_model_route::{
    ModelMatch, ModelRoute, ModelServer, RouteTable, Rule, StringMatch, manifest::Manifests,
};

use super::written::{ask, build, errors, route, up, warnings};

fn matching(pattern: &str) -> String {
    let spec = format!(
        "modelName: m\nrules:\n- modelMatch: {{headers: {{x: {{regex: '{pattern}'}}}}}}\n  targetModels: [{{modelServerName: s}}]"
    );
    up("s") + &route("r", &[&spec])
}

fn matches(table: &RouteTable, value: &str) -> bool {
    ask(table, "m", "/", &[("x", value)]).contains("->")
}

#[test]
fn a_pattern_of_a_manifest_means_what_it_means_in_go() {
    for (pattern, is, is_not) in [
        (r"^v\d+$", "v12", "v\u{663}"),
        (r"^\w+$", "team_a", "\u{e9}"),
        (r"\bx\b", "\u{e9}x", "ax"),
        (r"^[a&&b]$", "&", "c"),
        (r"^\Qa.b\E$", "a.b", "axb"),
        ("^{id}$", "{id}", "id"),
        (r"^\101$", "A", "101"),
    ] {
        let table = build(&[matching(pattern)]);
        assert!(matches(&table, is), "{pattern} {is}");
        assert!(!matches(&table, is_not), "{pattern} {is_not}");
        // Written as a pattern of Go's again, which reads as the same.
        let yaml = table.to_yaml();
        assert!(!yaml.contains("annotations"), "{yaml}");
        let again = build(&[&yaml]);
        assert!(matches(&again, is) && !matches(&again, is_not), "{yaml}");
        assert_eq!(again.to_yaml(), yaml);
    }
}

#[test]
fn what_go_would_not_take_is_named_with_its_place() {
    assert_eq!(
        errors(&matching("(?=a)")),
        [
            r#"17:39 spec.rules[0].modelMatch.headers.x.regex: the regular expression does not compile: "(?=a)" does not begin a group [invalid-value]"#
        ]
    );
    let neither = errors(&matching("(a"));
    assert_eq!(neither.len(), 1, "{neither:?}");
    assert!(neither[0].contains("does not compile"), "{neither:?}");
}

/// In Rust a `\d` is a digit of any script: the manifest keeps that, where Kthena does not look.
#[test]
fn a_pattern_of_the_builder_keeps_its_meaning() {
    for (pattern, is, is_not) in [
        (r"^\d$", "\u{663}", "x"),
        (r"^[a-c&&b-d]$", "b", "a"),
        ("(?x) ^ a $", "a", " a "),
    ] {
        let rule = Rule::new("all")
            .when(ModelMatch::new().header("x", StringMatch::regex(pattern)))
            .target("default/s");
        let table = RouteTable::builder()
            .model_server(ModelServer::new("default/s").endpoint("http://e"))
            .model_route(ModelRoute::new("default/r").model_name("m").rule(rule))
            .build()
            .unwrap();
        let yaml = table.to_yaml();
        assert!(yaml.contains("rustRegex"), "{yaml}");
        assert_eq!(warnings(&yaml), [""; 0]);
        let read = Manifests::from_yaml(&yaml).build().unwrap();
        for table in [&table, &read] {
            assert!(matches(table, is) && !matches(table, is_not), "{yaml}");
        }
        assert_eq!(
            read.config().get_model_routes(),
            table.config().get_model_routes()
        );
    }
}

/// It is a word of the annotations only: Kthena's schema has no such field.
#[test]
fn a_spec_has_no_patterns_of_rust() {
    let yaml = matching("a").replace("regex:", "rustRegex:");
    let named = warnings(&yaml);
    assert!(named[1].contains("unknown-field"), "{named:?}");
}
