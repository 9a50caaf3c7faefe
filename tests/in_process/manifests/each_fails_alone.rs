//! `Manifests::lenient`: what is wrong is left out, and the rest is served.

use http::{Request, StatusCode};
use tower_model_route::{RouteErrorKind, RouteTable, manifest::Manifests};

fn server(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.serving.volcano.sh/v1alpha1\nkind: ModelServer\n\
         metadata:\n  name: {name}\n  annotations:\n    tower-model-route/endpoints: http://{name}\n\
         spec:\n  inferenceEngine: vLLM\n  {spec}\n---\n"
    )
}

fn route(name: &str, targets: &str) -> String {
    format!(
        "apiVersion: networking.serving.volcano.sh/v1alpha1\nkind: ModelRoute\n\
         metadata:\n  name: {name}\nspec:\n  modelName: {name}\n  rules:\n  - targetModels: {targets}\n---\n"
    )
}

const GOOD: &str = "workloadPort: {port: 8000}";

fn lenient(parts: &[String]) -> (RouteTable, Vec<String>) {
    let manifests = Manifests::from_yaml(&parts.concat()).lenient();
    let report = manifests.check();
    let codes = report.diagnostics().iter();
    let codes = codes.map(|it| format!("{:?} {}", it.severity(), it.code()));
    (manifests.build().unwrap(), codes.collect())
}

fn decide(table: &RouteTable, model: &str) -> Result<String, RouteErrorKind> {
    let (head, ()) = Request::post("/v1/chat/completions")
        .body(())
        .unwrap()
        .into_parts();
    match table.decide(&head, model) {
        Ok(decision) => Ok(decision.endpoint().to_owned()),
        Err(error) => Err(error.kind()),
    }
}

#[test]
fn a_wrong_route_is_left_out_and_the_others_are_served() {
    let parts = [
        server("s", GOOD),
        route("good", "[{modelServerName: s}]"),
        route("bad", "[{modelServerName: s, weight: 300}]"),
        route("worse", "nothing"),
    ];
    let strict = Manifests::from_yaml(&parts.concat());
    assert!(strict.build().is_err());
    let (table, codes) = lenient(&parts);
    assert_eq!(decide(&table, "good").unwrap(), "http://s");
    assert_eq!(decide(&table, "bad"), Err(RouteErrorKind::ModelNotFound));
    assert_eq!(
        codes
            .iter()
            .filter(|code| code.starts_with("Error"))
            .count(),
        2,
        "{codes:?}"
    );
}

#[test]
fn a_target_that_is_not_there_gives_its_share_to_its_siblings() {
    let parts = [
        server("s", GOOD),
        route(
            "both",
            "[{modelServerName: s, weight: 10}, {modelServerName: gone, weight: 90}]",
        ),
        route("alone", "[{modelServerName: gone}]"),
    ];
    let (table, codes) = lenient(&parts);
    for _ in 0..20 {
        assert_eq!(decide(&table, "both").unwrap(), "http://s");
    }
    let error = decide(&table, "alone").unwrap_err();
    assert_eq!(error, RouteErrorKind::NoEndpoint);
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        codes.contains(&"Warning unknown-server".to_owned()),
        "{codes:?}"
    );
    assert!(
        !codes.iter().any(|code| code.starts_with("Error")),
        "{codes:?}"
    );
}

#[test]
fn a_wrong_server_is_as_one_that_is_not_there() {
    let parts = [
        server("s", "workloadPort: {port: 99999999}"),
        server("t", GOOD),
        route("one", "[{modelServerName: s}]"),
        route("other", "[{modelServerName: t}]"),
    ];
    let (table, _) = lenient(&parts);
    assert_eq!(decide(&table, "one"), Err(RouteErrorKind::NoEndpoint));
    assert_eq!(decide(&table, "other").unwrap(), "http://t");
}

/// Mistakes that only the table finds, and those between resources.
#[test]
fn mistakes_between_resources_are_theirs_too() {
    let twice = route("r", "[{modelServerName: s}]");
    let regex = "apiVersion: networking.serving.volcano.sh/v1alpha1\nkind: ModelRoute\n\
                 metadata: {name: x}\nspec:\n  modelName: x\n  rules:\n  \
                 - modelMatch: {headers: {a: {regex: '('}}}\n    targetModels: [{modelServerName: s}]\n---\n";
    let parts = [server("s", GOOD), twice.clone(), twice, regex.to_owned()];
    let (table, codes) = lenient(&parts);
    assert_eq!(decide(&table, "r").unwrap(), "http://s");
    assert_eq!(decide(&table, "x"), Err(RouteErrorKind::ModelNotFound));
    assert!(
        codes.contains(&"Error duplicate-resource".to_owned()),
        "{codes:?}"
    );
}

#[test]
fn a_document_that_can_not_be_read_takes_no_other_with_it() {
    let parts = [
        server("s", GOOD),
        "a: [1\n---\n".to_owned(),
        route("r", "[{modelServerName: s}]"),
    ];
    let (table, _) = lenient(&parts);
    assert_eq!(decide(&table, "r").unwrap(), "http://s");
}

#[test]
fn what_is_denied_is_left_out_too() {
    let with_unknown = route("u", "[{modelServerName: s, wieght: 3}]");
    let parts = [
        server("s", GOOD),
        route("r", "[{modelServerName: s}]"),
        with_unknown,
    ];
    let manifests = Manifests::from_yaml(&parts.concat())
        .lenient()
        .deny("unknown-field");
    let table = manifests.build().unwrap();
    assert_eq!(decide(&table, "r").unwrap(), "http://s");
    assert_eq!(decide(&table, "u"), Err(RouteErrorKind::ModelNotFound));
}

#[test]
fn items_of_a_list_fail_alone() {
    let item = |name: &str, weight: u32| {
        format!(
            "- metadata: {{name: {name}}}\n  spec: {{modelName: {name}, rules: \
             [{{targetModels: [{{modelServerName: s, weight: {weight}}}]}}]}}\n"
        )
    };
    let items: String = (0..12)
        .map(|n| item(&format!("r{n}"), if n == 1 { 999 } else { 7 }))
        .collect();
    let list = format!(
        "apiVersion: networking.serving.volcano.sh/v1alpha1\nkind: ModelRouteList\nitems:\n{items}---\n"
    );
    let (table, _) = lenient(&[server("s", GOOD), list]);
    for n in 0..12 {
        let found = decide(&table, &format!("r{n}"));
        assert_eq!(found.is_ok(), n != 1, "{n}");
    }
}
