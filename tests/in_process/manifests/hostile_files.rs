//! Files made to hurt: they are refused, and what they cost is bounded by their length.

use proptest::prelude::*;
use tower_model_route::manifest::Manifests;

use super::written::{decide, errors, route, up};

#[test]
fn deep_nesting_is_refused() {
    let levels = 100_000;
    for yaml in [
        "[".repeat(levels),
        "{a: ".repeat(levels),
        format!("a: {}", "[".repeat(levels)),
        format!("a: {}", "{a: ".repeat(levels)),
        "- ".repeat(levels),
        "? ".repeat(levels),
        (0..1000)
            .map(|depth| format!("{}a:\n", " ".repeat(depth)))
            .collect(),
        "{\"a\":".repeat(levels),
        "&a ".repeat(levels),
        "!!map ".repeat(levels),
    ] {
        let found = errors(&yaml);
        assert!(!found.is_empty(), "{}", &yaml[..20]);
    }
    assert!(errors(&format!("a: {}", "[".repeat(levels)))[0].contains("nested deeper than 64"));
}

#[test]
fn alias_bombs_are_refused() {
    let mut sequences = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    let mut merges = String::from("a: &a {x: 1}\n");
    for letter in 'b'..='z' {
        let before = char::from_u32(u32::from(letter) - 1).unwrap();
        let aliases = vec![format!("*{before}"); 9].join(", ");
        sequences += &format!("{letter}: &{letter} [{aliases}]\n");
        merges += &format!(
            "{letter}: &{letter}\n  <<: *{before}\n  k{letter}: *{before}\n  l{letter}: *{before}\n"
        );
    }
    let long = "x".repeat(100_000);
    let copies = format!("a: &a {long}\nb: [{}]\n", "*a, ".repeat(5_000));
    let merged = format!("a: &a\n  k: {long}\nb:\n{}", "- <<: *a\n".repeat(5_000));
    for yaml in [sequences, merges, copies, merged] {
        let found = errors(&yaml);
        assert!(
            found[0].contains("its aliases expand to too much"),
            "{found:?}"
        );
    }
    assert!(errors("a: &a [*a]\n")[0].contains("not valid YAML"));
}

/// 5 MB of what a cluster has: long texts, comments, other kinds, and a route somewhere.
#[test]
fn a_file_of_5_mb_is_read() {
    let filler = "x".repeat(2_000);
    let mut yaml = up("s");
    let config = format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata:\n  a: \"{filler}\"\n  b: |\n    {filler}\n    {filler}\n# {filler}\n"
    );
    while yaml.len() < 5 << 20 {
        yaml += &config;
    }
    yaml += &route(
        "r",
        &["modelName: m\nrules: [{targetModels: [{modelServerName: s}]}]"],
    );
    let table = Manifests::from_yaml(&yaml).build().unwrap();
    assert!(decide(&table, "m").starts_with("default/r"));
}

fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("apiVersion: networking.serving.volcano.sh/v1alpha1\n"),
        Just("kind: ModelRoute\n"),
        Just("kind: ModelServer\n"),
        Just("kind: Pod\napiVersion: v1\n"),
        Just("kind: List\nitems:\n"),
        Just("metadata: {name: x}\n"),
        Just("metadata:\n  annotations:\n    tower-model-route/rules: |\n"),
        Just("spec:\n"),
        Just("  rules:\n"),
        Just("  - targetModels: "),
        Just("[{modelServerName: x, weight: 1}]\n"),
        Just("  modelName: "),
        Just("{\"a\": "),
        Just("}"),
        Just("]"),
        Just("---\n"),
        Just("...\n"),
        Just("&a "),
        Just("*a "),
        Just("<<: "),
        Just("!!str "),
        Just("\t"),
        Just("\n"),
        Just("\r"),
        Just("\u{feff}"),
        Just("\u{0}"),
        Just("- "),
        Just("? "),
        Just(": "),
        Just("|\n"),
        Just(">-\n"),
        Just("\""),
        Just("'"),
        Just("# c"),
        Just("%TAG ! x\n"),
        Just("\u{1f600}"),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever comes, it is read or refused; and what is refused is so in both ways to ask.
    #[test]
    fn any_text_is_read_or_refused(text in prop_oneof![soup(), "\\PC{0,40}", any::<String>()]) {
        let manifests = Manifests::from_yaml(&text);
        prop_assert_eq!(manifests.build().is_err(), manifests.check().has_errors());
    }
}
