//! `Manifests::after`: what has not changed is shared with the table before, and nothing else.

use std::ptr;

use bytes::Bytes;
use http_body_util::Full;
use test_kit::{
    answer::Answer,
    decision::{any, next},
    gateway::Rig,
    request::get,
};
use tower_model_route::{
    ApiPaths, ModelRoute, ModelServer, RouteTable, RouteTableHandle, Rule, manifest::Manifests,
};

fn server(name: &str, annotations: &str) -> String {
    format!(
        "apiVersion: networking.serving.volcano.sh/v1alpha1\nkind: ModelServer\n\
         metadata:\n  name: {name}\n  annotations: {{{annotations}}}\n\
         spec:\n  model: real\n  inferenceEngine: vLLM\n  workloadSelector: {{matchLabels: {{app: {name}}}}}\n  \
         workloadPort: {{port: 8000}}\n---\n"
    )
}

fn route(name: &str, targets: &str) -> String {
    format!(
        "apiVersion: networking.serving.volcano.sh/v1alpha1\nkind: ModelRoute\n\
         metadata:\n  name: {name}\nspec:\n  modelName: {name}\n  rules:\n  - targetModels: {targets}\n---\n"
    )
}

fn pod(app: &str, ip: u8) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: pod-{ip}\n  labels: {{app: {app}}}\n\
         status: {{phase: Running, podIP: 10.0.0.{ip}}}\n---\n"
    )
}

const SPLIT: &str = "[{modelServerName: a, weight: 50}, {modelServerName: b, weight: 50}]";

fn manifests(parts: &[String]) -> Manifests {
    Manifests::from_yaml(&parts.concat()).lenient()
}

/// Two ModelServers, a route to each, and one to both.
fn first() -> Vec<String> {
    vec![
        server("a", ""),
        server("b", ""),
        route("m", SPLIT),
        route("only-a", "[{modelServerName: a}]"),
        pod("a", 1),
        pod("a", 2),
        pod("b", 3),
    ]
}

/// Where the next requests for some models go. Whose turn it is, is not told: tables share it.
fn decisions(table: &RouteTable) -> Vec<String> {
    let models = ["m", "only-a", "only-b", "later"];
    let decide = |model| match table.decide(&any(), model) {
        Ok(decision) => format!("{} {}", decision.model_server(), decision.endpoint()),
        Err(error) => error.kind().code().to_owned(),
    };
    let decisions = models
        .iter()
        .flat_map(|model| (0..12).map(|_| decide(model)));
    let mut decisions: Vec<_> = decisions.collect();
    decisions.sort();
    decisions.dedup();
    decisions
}

/// The list of models, without the time at which the table was made.
async fn listed(table: &RouteTable) -> String {
    let request = get("/v1/models").body(Full::<Bytes>::default()).unwrap();
    let answer = Answer::of(Rig::new(table.clone()).send(request).await).await;
    let parts = answer.text().split("\"created\":");
    parts
        .map(|part| part.trim_start_matches(|letter: char| letter.is_ascii_digit()))
        .collect()
}

fn routes_are_shared(a: &RouteTable, b: &RouteTable) -> bool {
    ptr::eq(a.config().get_model_routes(), b.config().get_model_routes())
}

#[tokio::test]
async fn a_table_is_the_same_as_without_the_one_before() {
    let with = |more: &[String]| [first(), more.to_vec()].concat();
    let without = |text: &str| {
        let mut parts = first();
        parts.retain(|part| !part.contains(text));
        parts
    };
    let instead = |old: &str, new: String| [without(old), vec![new]].concat();
    let changes = [
        first(),
        with(&[pod("a", 4), pod("b", 1)]),
        without("name: pod-1\n"),
        without("ModelServer\nmetadata:\n  name: b"),
        [vec![server("0", "")], first()].concat(),
        with(&[route("only-b", "[{modelServerName: b}]")]),
        with(&[route("later", "[{modelServerName: missing}]")]),
        without("name: only-a"),
        instead("name: m\n", route("m", "[{modelServerName: b}]")),
        instead(
            "ModelServer\nmetadata:\n  name: a",
            server("a", "tower-model-route/name: other"),
        ),
        instead(
            "ModelServer\nmetadata:\n  name: a",
            server("a", "tower-model-route/max-model-len: \"7\""),
        ),
        with(&[route("wrong", "[{modelServerName: a, weight: 300}]")]),
    ];
    for (from, before) in changes.iter().enumerate() {
        let before = manifests(before).build().unwrap();
        for (to, change) in changes.iter().enumerate() {
            let anew = manifests(change).build().unwrap();
            let after = manifests(change).after(&before).build().unwrap();
            assert_eq!(after.config(), anew.config(), "{from} to {to}");
            assert_eq!(decisions(&after), decisions(&anew), "{from} to {to}");
            assert_eq!(listed(&after).await, listed(&anew).await, "{from} to {to}");
        }
    }
}

#[test]
fn the_routes_are_shared_where_only_endpoints_have_changed() {
    let table = manifests(&first()).build().unwrap();
    let pods = [first(), vec![pod("a", 4)]].concat();
    let after = manifests(&pods).after(&table).build().unwrap();
    assert!(routes_are_shared(&table, &after));
    let routes = [first(), vec![route("later", SPLIT)]].concat();
    let after = manifests(&routes).after(&table).build().unwrap();
    assert!(!routes_are_shared(&table, &after));
}

#[test]
fn a_rule_for_a_path_is_checked_again_where_the_paths_have_changed() {
    let route = "apiVersion: networking.serving.volcano.sh/v1alpha1\nkind: ModelRoute\n\
                 metadata: {name: m}\nspec:\n  modelName: m\n  rules:\n  \
                 - modelMatch: {uri: {exact: /own}}\n    targetModels: [{modelServerName: a}]\n";
    let manifests = Manifests::from_yaml(&[server("a", ""), route.to_owned()].concat());
    let paths = ApiPaths::none().and("/own").unwrap();
    let table = manifests.clone().paths(paths).build().unwrap();
    assert!(manifests.after(&table).build().is_err());
}

#[test]
fn live_state_is_carried_over_as_ever() {
    let handle = RouteTableHandle::new(manifests(&first()).build().unwrap());
    let old = handle.table();
    next(&old, "m");
    let turns = |table: &RouteTable| [next(table, "m"), next(table, "m"), next(table, "m")];
    let pods = [first(), vec![pod("a", 4)]].concat();
    handle.replace(manifests(&pods).after(&old).build().unwrap());
    let shared = turns(&handle.table());
    // The same with a table that knows nothing of the one before.
    let other = RouteTableHandle::new(manifests(&first()).build().unwrap());
    next(&other.table(), "m");
    other.replace(manifests(&pods).build().unwrap());
    assert_eq!(shared, turns(&other.table()));
}

#[test]
fn another_table_may_have_come_between() {
    let handle = RouteTableHandle::new(manifests(&first()).build().unwrap());
    let first_table = handle.table();
    let drained = |handle: &RouteTableHandle| {
        let servers = handle.table().servers();
        let endpoints = servers
            .iter()
            .flat_map(|server| server.endpoints().to_vec());
        let mut drained: Vec<_> = endpoints
            .filter(|endpoint| endpoint.health() == tower_model_route::EndpointHealth::Draining)
            .map(|endpoint| endpoint.uri().to_owned())
            .collect();
        drained.dedup();
        drained
    };
    // `b` gets the endpoint that only `a` had, in a table that is replaced itself.
    let between = [first(), vec![pod("b", 5), pod("a", 5)]].concat();
    handle.replace(manifests(&between).build().unwrap());
    handle.drain("http://10.0.0.5:8000").unwrap();
    handle.drain("http://10.0.0.1:8000").unwrap();
    let last = [first(), vec![pod("b", 5)]].concat();
    let last = manifests(&last).after(&first_table).build().unwrap();
    handle.replace(last);
    assert_eq!(
        drained(&handle),
        ["http://10.0.0.1:8000", "http://10.0.0.5:8000"]
    );
}

#[test]
fn an_update_shares_them_too() {
    let rule = Rule::new("rule").target("s");
    let route = ModelRoute::new("route").model_name("m").rule(rule);
    let server = ModelServer::new("s").endpoint("http://a");
    let table = RouteTable::builder()
        .model_server(server)
        .model_route(route);
    let handle = RouteTableHandle::new(table.build().unwrap());
    let before = handle.table();
    handle.set_endpoints("s", ["http://b"]).unwrap();
    let after = handle.table();
    assert!(routes_are_shared(&before, &after));
    assert_eq!(after.decide(&any(), "m").unwrap().endpoint(), "http://b");
}
