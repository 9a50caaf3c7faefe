//! Which crates' types are in public signatures of `tower-model-route`, held against the list below.
//!
//! It reads the JSON that rustdoc writes; `.ci/run` makes it:
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo rustdoc -p tower-model-route --all-features -- -Z unstable-options --output-format json
//! cargo run -p public_types -- target/doc/tower_model_route.json
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    process::ExitCode,
};

use serde_json::Value;

/// The crates whose types users meet in our signatures, and why.
///
/// A breaking release of one of them is a breaking release of ours. So no other crate of version
/// 0.x is here than those that composing with tower needs.
const ALLOWED: [(&str, &str); 13] = [
    ("alloc", "the standard library"),
    ("bytes", "the chunks of bodies"),
    ("core", "the standard library"),
    ("http", "requests and responses"),
    ("http_body", "bodies"),
    ("hyper", "feature `client`: the body of an answer"),
    (
        "kube_client",
        "5.x, feature `kube`: the way to the API server",
    ),
    ("serde_core", "feature `serde`"),
    ("std", "the standard library"),
    (
        "tower",
        "0.x: `Budget` of the retry budget, `Policy` of `Failover`",
    ),
    ("tower_layer", "0.x: `Layer`"),
    ("tower_service", "0.x: `Service`"),
    ("tower_model_route", "the crate itself"),
];

fn main() -> ExitCode {
    let path = env::args().nth(1).expect("the path of rustdoc's JSON");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let docs: Value = serde_json::from_str(&text).expect("JSON");
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    let index = docs["index"].as_object().expect("an index");
    // What every type has, from crates that are only in the same build, and its methods.
    let blanket: BTreeSet<u64> = index
        .values()
        .filter(|item| !item["inner"]["impl"]["blanket_impl"].is_null())
        .flat_map(|item| {
            let items = item["inner"]["impl"]["items"].as_array();
            let items = items.into_iter().flatten().chain([&item["id"]]);
            items.filter_map(Value::as_u64)
        })
        .collect();
    for item in index.values() {
        if item["id"].as_u64().is_some_and(|id| blanket.contains(&id)) {
            continue;
        }
        let mut ids = BTreeSet::new();
        types(&item["inner"], &mut ids);
        for id in ids {
            let entry = &docs["paths"][id.to_string()];
            let Some(path) = entry["path"].as_array() else {
                continue;
            };
            let path: Vec<_> = path.iter().filter_map(Value::as_str).collect();
            // What a macro writes for itself is for nobody to name.
            if path.contains(&"__private") {
                continue;
            }
            let name = path.first().copied().unwrap_or_default().to_owned();
            found.entry(name).or_default().insert(path.join("::"));
        }
    }
    assert!(found.len() > 5, "the JSON was not read: {found:?}");
    let mut code = ExitCode::SUCCESS;
    for (name, paths) in &found {
        if !ALLOWED.iter().any(|(allowed, _)| allowed == name) {
            eprintln!("not allowed in public signatures: {paths:?}");
            code = ExitCode::FAILURE;
        }
    }
    println!("types of {:?}", found.keys().collect::<Vec<_>>());
    code
}

/// The ids of all types and traits that are named somewhere in `value`.
fn types(value: &Value, ids: &mut BTreeSet<u64>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| types(item, ids)),
        Value::Object(fields) => {
            if fields.contains_key("path")
                && fields.contains_key("args")
                && let Some(id) = fields.get("id").and_then(Value::as_u64)
            {
                ids.insert(id);
            }
            fields.values().for_each(|field| types(field, ids));
        }
        _ => {}
    }
}
