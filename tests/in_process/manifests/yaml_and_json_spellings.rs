//! YAML and JSON in all their spellings.

use tower_model_route::manifest::Manifests;

use super::written::{build, decide, errors, route, up, warnings};

fn pair() -> String {
    up("s")
        + &route(
            "r",
            &[
                "modelName: m",
                "rules:",
                "- targetModels:",
                "  - modelServerName: s",
            ],
        )
}

const GOES: &str = "default/r rule-1 -> default/s http://s:8000";

#[test]
fn line_ends_marks_and_comments_change_nothing() {
    for yaml in [
        pair(),
        pair().replace('\n', "\r\n"),
        pair().replace('\n', "\r"),
        format!("\u{feff}{}", pair()),
        format!("\u{feff}{}", pair().replace('\n', "\r\n")),
        format!("# comment\n\n{}\n# end\n---\n---\n", pair()),
        format!("%YAML 1.2\n{}...\n", pair()),
        pair().replace("modelName: m", "modelName: m # the name"),
        pair().trim_end().to_owned(),
    ] {
        assert_eq!(decide(&build(&[&yaml]), "m"), GOES, "{yaml:?}");
        assert_eq!(warnings(&yaml), [""; 0]);
    }
}

#[test]
fn anchors_aliases_and_merges_are_followed() {
    let yaml = up("s")
        + &route(
            "r",
            &["modelName: &name m
loraAdapters: [&a lora-a]
rules:
- name: first
  modelMatch: &match
    headers: {x: {exact: *a}}
  targetModels: &targets
  - modelServerName: s
- name: second
  modelMatch:
    <<: *match
    uri: {prefix: /v2}
  targetModels: *targets
- name: third
  targetModels: *targets"],
        );
    assert_eq!(errors(&yaml), [""; 0]);
    assert!(decide(&build(&[yaml]), "m").contains(" third "));
}

/// One anchor that a thousand places use is no bomb.
#[test]
fn an_anchor_may_be_used_often() {
    let rule = "- name: x\n  modelMatch: {headers: {x: {exact: a}}}\n  targetModels: *targets\n";
    let rules = format!(
        "modelName: m\nrules:\n- targetModels: &targets [{{modelServerName: s}}]\n{}",
        rule.repeat(1_000)
    );
    let yaml = up("s") + &route("r", &[&rules]);
    assert_eq!(errors(&yaml), [""; 0]);
}

#[test]
fn texts_that_look_like_numbers_are_texts() {
    let named = |name: &str| {
        up("s")
            + &route(
                "r",
                &[&format!(
                    "modelName: {name}\nrules: [{{name: x, targetModels: [{{modelServerName: s}}]}}]"
                )],
            )
    };
    for (name, model) in [
        ("\"123\"", "123"),
        ("'1.10'", "1.10"),
        ("\"true\"", "true"),
        ("'yes'", "yes"),
        ("\"NO\"", "NO"),
        ("yes-model", "yes-model"),
        ("nO", "nO"),
    ] {
        let yaml = named(name);
        assert!(
            decide(&build(&[&yaml]), model).starts_with("default/r"),
            "{name}"
        );
        assert_eq!(warnings(&yaml), [""; 0]);
    }
    // Kubernetes would refuse these; they are taken as they are written, and said.
    for (name, model) in [
        ("123", "123"),
        ("1.10", "1.10"),
        ("007", "007"),
        ("true", "true"),
        ("1e3", "1e3"),
        // Bools in YAML 1.1, which Kubernetes reads.
        ("yes", "yes"),
        ("No", "No"),
        ("ON", "ON"),
        ("off", "off"),
        ("y", "y"),
        ("N", "N"),
        ("True", "True"),
        ("FALSE", "FALSE"),
    ] {
        let yaml = named(name);
        assert!(
            decide(&build(&[&yaml]), model).starts_with("default/r"),
            "{name}"
        );
        assert_eq!(warnings(&yaml).len(), 1, "{name}");
    }
}

#[test]
fn numbers_with_quotes_are_numbers_with_a_warning() {
    let yaml = up("s")
        + &route(
            "r",
            &["modelName: m\nrules: [{targetModels: [{modelServerName: s, weight: \"70\"}]}]"],
        );
    assert_eq!(errors(&yaml), [""; 0]);
    assert!(build(&[&yaml]).to_yaml().contains("weight: 70"));
    assert_eq!(
        warnings(&yaml),
        [
            "16:56 spec.rules[0].targetModels[0].weight: 70 should have no quotes: a number is expected [quoted-number]"
        ]
    );
    let yaml = yaml.replace("\"70\"", "seventy");
    assert_eq!(
        errors(&yaml),
        [
            "16:56 spec.rules[0].targetModels[0].weight: expected a number, found the text \"seventy\" [wrong-type]"
        ]
    );
}

/// Kubernetes reads YAML 1.1, where they are octal.
#[test]
fn numbers_with_a_leading_zero_are_errors() {
    let route = |weight: &str| {
        let rules =
            format!("rules: [{{targetModels: [{{modelServerName: s, weight: {weight}}}]}}]");
        up("s") + &route("r", &["modelName: m", &rules])
    };
    for weight in ["010", "-010", "+010", "00", "08"] {
        assert_eq!(
            errors(&route(weight)),
            [format!(
                "16:56 spec.rules[0].targetModels[0].weight: {weight} is octal in YAML 1.1, which \
                 Kubernetes reads, and decimal in YAML 1.2: write it without the leading zero \
                 [invalid-value]"
            )]
        );
    }
    for weight in ["10", "1", "+1"] {
        assert_eq!(errors(&route(weight)), [""; 0]);
    }
    let port = up("s").replace("port: 8000", "port: 017500");
    assert_eq!(errors(&port).len(), 1, "{:?}", errors(&port));
}

#[test]
fn what_parsers_say_is_said_in_our_words() {
    let yaml = pair().replacen(
        "metadata:\n",
        "metadata:\n  annotations:\n    tower-model-route/endpoints: |\n      - a\n      ---\n      - b\n",
        1,
    );
    let found = errors(&yaml);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].ends_with(": there is more than one YAML document [invalid-yaml]"),
        "{found:?}"
    );
}

/// The line of each is counted as in an editor.
#[test]
fn a_carriage_return_alone_ends_a_line() {
    let broken = pair().replace("modelName: m", "modelName: [m]");
    let found = errors(&broken);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(errors(&broken.replace('\n', "\r")), found);
    let json = "{\n}\n{\"a\": 1}\n";
    assert_eq!(errors(&json.replace('\n', "\r")), errors(json));
}

#[test]
fn a_tab_is_an_error_that_says_so() {
    let yaml = pair()
        .replace("    port", "\tport")
        .replace("\n  modelName: m", "\n\tmodelName: m");
    assert_eq!(
        errors(&yaml),
        ["15:2 : YAML is indented with spaces, this line with a tab [invalid-yaml]"]
    );
}

#[test]
fn duplicate_keys_are_errors_at_the_second() {
    let yaml = up("s")
        + &route(
            "r",
            &[
                "modelName: m\nmodelName: n\nrules:\n- targetModels: [{modelServerName: s, weight: 1, weight: 2}]",
            ],
        );
    assert_eq!(
        errors(&yaml),
        [
            "16:3 spec.modelName: this key is already in line 15 [duplicate-key]",
            "18:52 spec.rules[0].targetModels[0].weight: this key is already in line 18 [duplicate-key]",
        ]
    );
}

#[test]
fn a_document_that_is_no_yaml_does_not_hide_the_others() {
    let yaml = format!(
        "a: [\n---\n{}---\nb: }}\n---\n{}",
        up("s"),
        route("r", &["modelName: m"])
    );
    let found = Manifests::from_yaml(&yaml).check();
    let places: Vec<(u32, u32)> = found
        .errors()
        .map(|error| (error.document(), error.line()))
        .collect();
    assert_eq!(places, [(1, 1), (3, 12), (4, 18)], "{found}");
}

#[test]
fn json_is_read_one_document_after_the_other() {
    let server = r#"{"apiVersion": "networking.serving.volcano.sh/v1alpha1", "kind": "ModelServer",
	"metadata": {"name": "s"},
	"spec": {"inferenceEngine": "vLLM", "endpoints": [{"name": "only", "address": "s", "port": 8000}]}}"#;
    let route = r#"{"apiVersion": "networking.serving.volcano.sh/v1alpha1", "kind": "ModelRoute",
	"metadata": {"name": "r"}, "spec": {"modelName": "m\u00e9\ud83d\ude00",
	"rules": [{"targetModels": [{"modelServerName": "s"}]}]}}"#;
    for text in [
        format!("{server}\n{route}\n"),
        format!("{server}{route}"),
        format!("{server}\n---\n{route}"),
        format!("{{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{server}, {route}]}}"),
    ] {
        let table = Manifests::from_yaml(&text).build().unwrap();
        assert_eq!(decide(&table, "m\u{e9}\u{1f600}"), GOES, "{text}");
    }
    let broken = format!(
        "{server}\n{}",
        route.replace("\"rules\": [", "\"rules\": [,")
    );
    let found = errors(&broken);
    assert!(
        found[0].starts_with("6:12 : this is not valid JSON"),
        "{found:?}"
    );
    // What stands behind a JSON document is not dropped.
    assert_eq!(errors(&format!("{server} x")).len(), 1);
}

/// `kubectl get modelroutes,modelservers -o yaml`
#[test]
fn lists_are_their_items() {
    let item = |text: &str| -> String {
        let text = text.trim_start_matches("---\n");
        text.lines()
            .enumerate()
            .map(|(i, line)| format!("{}{line}\n", if i == 0 { "- " } else { "  " }))
            .collect()
    };
    let (server, route) = (
        up("s"),
        route(
            "r",
            &[
                "modelName: m",
                "rules: [{targetModels: [{modelServerName: s}]}]",
            ],
        ),
    );
    let list = format!(
        "apiVersion: v1\nkind: List\nmetadata: {{resourceVersion: \"\"}}\nitems:\n{}{}",
        item(&server),
        item(&route)
    );
    assert_eq!(decide(&build(&[&list]), "m"), GOES);
    let broken = list.replace("modelServerName: s", "modelServerName: t");
    assert!(
        errors(&broken)[0].contains("items[1].spec.rules[0].targetModels[0]"),
        "{:?}",
        errors(&broken)
    );

    let bare = |text: String| {
        item(
            &text
                .replace("apiVersion: networking.serving.volcano.sh/v1alpha1\n", "")
                .replace("kind: ModelServer\n", "")
                .replace("kind: ModelRoute\n", ""),
        )
    };
    let of = |kind: &str, items: String| {
        format!(
            "---\napiVersion: networking.serving.volcano.sh/v1alpha1\nkind: {kind}List\nitems:\n{items}"
        )
    };
    let typed = of("ModelServer", bare(server)) + &of("ModelRoute", bare(route));
    assert_eq!(decide(&build(&[typed]), "m"), GOES);
}
