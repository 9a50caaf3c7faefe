//! A ModelServer of a manifest is retried as in Kthena, unless the manifest says otherwise.

use std::time::Duration;

use test_kit::{
    engines::{fails, status},
    gateway::Rig,
};
use tower_model_route::{RouteTable, TrafficPolicy, manifest::Manifests};

use super::written::{build, route, server, warnings};

/// A route for the model `asked` to a ModelServer with five endpoints.
fn five(policy: &str) -> RouteTable {
    let endpoints: String = (0..5)
        .map(|i| format!("- {{name: e{i}, address: e{i}, port: 80}}\n"))
        .collect();
    build(&[
        server(
            "s",
            &["model: real", &format!("endpoints:\n{endpoints}"), policy],
        ),
        route(
            "r",
            &["modelName: asked\nrules: [{targetModels: [{modelServerName: s}]}]"],
        ),
    ])
}

fn policy(table: &RouteTable) -> TrafficPolicy {
    table.config().get_model_servers()[0]
        .get_traffic_policy()
        .clone()
}

#[test]
fn without_retry_it_is_kthenas_four_at_once() {
    for spec in [
        "",
        "trafficPolicy: {timeout: 1s}",
        "trafficPolicy: {retry: ~}",
    ] {
        let policy = policy(&five(spec));
        let statuses = policy.get_retry_statuses().iter();
        let statuses: Vec<u16> = statuses.map(|status| status.as_u16()).collect();
        assert_eq!(policy.get_max_retries(), 4, "{spec}");
        assert_eq!(policy.get_retry_interval(), Duration::ZERO, "{spec}");
        assert_eq!(statuses, [500, 503], "{spec}");
    }
}

#[test]
fn what_the_manifest_says_of_retry_counts_alone() {
    for (spec, retries) in [
        ("trafficPolicy: {retry: {attempts: 0}}", 0),
        ("trafficPolicy: {retry: {attempts: 2}}", 2),
        ("trafficPolicy: {retry: {}}", 0),
    ] {
        let expected = TrafficPolicy::new().max_retries(retries);
        assert_eq!(policy(&five(spec)), expected, "{spec}");
    }
    let given = policy(&five(
        "trafficPolicy: {retry: {attempts: 1, retryInterval: 3s}}",
    ));
    let expected = TrafficPolicy::new()
        .max_retries(1)
        .retry_interval(Duration::from_secs(3));
    assert_eq!(given, expected);
}

#[tokio::test(start_paused = true)]
async fn one_good_endpoint_of_five_is_found_without_a_wait() {
    for bad in [500, 503] {
        let rig = Rig::new(five(""));
        rig.engines
            .next([status(bad), fails(), status(bad), fails()]);
        let start = tokio::time::Instant::now();
        assert_eq!(rig.ask().await.status(), 200);
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(rig.engines.attempts().len(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_of_0_turns_it_off() {
    let rig = Rig::new(five("trafficPolicy: {retry: {attempts: 0}}"));
    rig.engines.next([status(503)]);
    assert_eq!(rig.ask().await.status(), 503);
    assert_eq!(rig.engines.attempts().len(), 1);
}

/// It is no warning, also where there is only one endpoint, and no secret.
#[test]
fn a_check_says_so_in_a_note() {
    let own = "endpoints: [{name: a, address: a, port: 1}]";
    let note = |servers: &[&str]| -> Vec<String> {
        let yaml: String = servers
            .iter()
            .zip(["a", "b"])
            .map(|(policy, name)| server(name, &[own, policy]))
            .collect();
        assert_eq!(warnings(&yaml), [""; 0]);
        let report = Manifests::from_yaml(&yaml).check();
        let lines = report.to_string();
        let notes: Vec<String> = report.notes().map(str::to_owned).collect();
        for note in &notes {
            assert!(
                lines.contains(&format!("\nnote: {note}\nno errors, ")),
                "{lines}"
            );
        }
        notes
    };
    let off = "trafficPolicy: {retry: {attempts: 0}}";
    assert!(note(&[""])[0].starts_with("ModelServer \"default/a\" has no \"retry\": "));
    assert!(note(&["", ""])[0].starts_with("2 ModelServers have no \"retry\": "));
    assert!(note(&["", off])[0].starts_with("ModelServer \"default/a\" has"));
    assert_eq!(note(&[off]), [""; 0]);
}
