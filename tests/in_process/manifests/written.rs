//! Manifests in a few words, and what came of them.

use test_kit::request::head;
use tower_model_route::{
    RouteTable,
    manifest::{Diagnostic, Manifests, Severity},
};

/// A ModelServer with a spec of these lines.
pub(super) fn server(name: &str, spec: &[&str]) -> String {
    resource(
        "ModelServer",
        name,
        &[&["inferenceEngine: vLLM"], spec].concat(),
    )
}

/// A ModelServer with one endpoint, `http://NAME:8000`.
pub(super) fn up(name: &str) -> String {
    let address = name.rsplit('/').next().unwrap_or_default();
    let endpoints = format!("endpoints: [{{name: only, address: {address}, port: 8000}}]");
    server(name, &[&endpoints])
}

/// A ModelRoute with a spec of these lines.
pub(super) fn route(name: &str, spec: &[&str]) -> String {
    resource("ModelRoute", name, spec)
}

/// A resource named `NAME` or `NAMESPACE/NAME`.
pub(super) fn resource(kind: &str, name: &str, spec: &[&str]) -> String {
    let name = match name.split_once('/') {
        Some((namespace, name)) => format!("{name}\n  namespace: {namespace}"),
        None => name.to_owned(),
    };
    let spec: String = spec
        .iter()
        .flat_map(|lines| lines.lines())
        .map(|line| format!("  {line}\n"))
        .collect();
    format!(
        "---\napiVersion: networking.serving.volcano.sh/v1alpha1\nkind: {kind}\nmetadata:\n  \
         name: {name}\nspec:\n{spec}"
    )
}

pub(super) fn build(documents: &[impl AsRef<str>]) -> RouteTable {
    let yaml: String = documents.iter().map(AsRef::as_ref).collect();
    match Manifests::from_yaml(&yaml).build() {
        Ok(table) => table,
        Err(error) => panic!("{error}"),
    }
}

/// `line:column field: message [code]` of each error.
pub(super) fn errors(yaml: &str) -> Vec<String> {
    of(Severity::Error, yaml)
}

/// The same of each warning, without those of the linter and of what Kthena would refuse.
pub(super) fn warnings(yaml: &str) -> Vec<String> {
    of(Severity::Warning, yaml)
}

fn of(severity: Severity, yaml: &str) -> Vec<String> {
    let others = ["unused-model-server", "no-endpoints", "refused-by-kthena"];
    Manifests::from_yaml(yaml)
        .check()
        .diagnostics()
        .iter()
        .filter(|found| found.severity() == severity && !others.contains(&found.code()))
        .map(line)
        .collect()
}

pub(super) fn line(found: &Diagnostic) -> String {
    format!(
        "{}:{} {}: {} [{}]",
        found.line(),
        found.column(),
        found.field(),
        found.message(),
        found.code()
    )
}

/// `route rule -> server endpoint`, or the error's code.
pub(super) fn ask(table: &RouteTable, model: &str, path: &str, headers: &[(&str, &str)]) -> String {
    match table.decide(&head(path, headers), model) {
        Ok(decision) => format!(
            "{} {} -> {} {}",
            decision.route(),
            decision.rule(),
            decision.model_server(),
            decision.endpoint()
        ),
        Err(error) => error.kind().code().to_owned(),
    }
}

/// The same for a request without headers.
pub(super) fn decide(table: &RouteTable, model: &str) -> String {
    ask(table, model, "/v1/chat/completions", &[])
}
