//! What the engines list is where requests go.

use std::time::Duration;

use test_kit::{
    engines::{Act, Engines, says, status},
    gateway::Rig,
    table::{one_server, server, table},
};
use tower_model_route::{
    MistakeKind, ModelRouteLayer, Rule, ServedModels, ServedModelsHandle, TrafficPolicy,
};

use super::ask;
use crate::SECOND;

/// As vLLM lists them.
fn list(names: &[&str]) -> Act {
    let models = names
        .iter()
        .map(|name| format!(r#"{{"id":"{name}","object":"model","root":"/m","parent":null}}"#));
    let models: Vec<_> = models.collect();
    let list = format!(r#"{{"object":"list","data":[{}]}}"#, models.join(","));
    says(200, &list).header("content-type", "application/json")
}

fn with_it() -> Act {
    list(&["real", "lora"])
}

fn without_it() -> Act {
    list(&["real"])
}

/// A gateway of two engines, and others that answer the polls of theirs.
fn rig() -> (Rig, Engines, ServedModelsHandle) {
    let rig = Rig::one(2, TrafficPolicy::new());
    let lists = Engines::default();
    lists.always("e0", without_it);
    lists.always("e1", with_it);
    let polling = ServedModels::new()
        .start(rig.table.clone(), lists.service())
        .unwrap();
    (rig, lists, polling)
}

async fn asked_of(rig: &Rig, host: &str) -> usize {
    rig.engines.attempts();
    for _ in 0..6 {
        assert_eq!(ask(rig).await, 200);
    }
    let hosts = rig.engines.hosts();
    hosts.iter().filter(|asked| *asked == host).count()
}

#[tokio::test(start_paused = true)]
async fn the_first_request_goes_where_it_is() {
    let (rig, lists, polling) = rig();
    tokio::time::sleep(SECOND).await;
    assert_eq!(asked_of(&rig, "e0").await, 0);
    let poll = &lists.attempts()[0];
    assert_eq!(poll.head.method, http::Method::GET);
    assert_eq!(poll.uri().path(), "/v1/models");
    // Both have the model.
    for _ in 0..6 {
        rig.ask().await;
    }
    let hosts = rig.engines.hosts();
    assert_eq!(hosts.iter().filter(|host| *host == "e0").count(), 3);
    assert_eq!(rig.endpoint("e0").has_model("lora"), Some(false));
    assert_eq!(rig.endpoint("e1").has_model("lora"), Some(true));
    assert_eq!(rig.endpoint("e0").passed_over_for("lora"), None);
    polling.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_loaded_and_unloaded_is_noticed() {
    let (rig, lists, _polling) = rig();
    tokio::time::sleep(SECOND).await;
    lists.always("e0", with_it);
    lists.always("e1", without_it);
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(asked_of(&rig, "e0").await, 6);
}

/// An Ollama serves `lora` if it lists `lora:latest`.
#[tokio::test(start_paused = true)]
async fn a_tag_that_need_not_be_named_is_no_reason_to_pass_an_engine_over() {
    let (rig, lists, _polling) = rig();
    lists.always("e0", || list(&["real", "lora:latest"]));
    tokio::time::sleep(SECOND).await;
    assert_eq!(asked_of(&rig, "e0").await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_fails_changes_nothing_and_a_list_grows_old() {
    for failure in [
        || status(500),
        || Act::Hang,
        || says(200, "<html>"),
        // Not of this table.
        || list(&["foreign"]),
        || list(&[]),
    ] {
        let (rig, lists, _polling) = rig();
        tokio::time::sleep(SECOND).await;
        lists.everywhere(failure);
        lists.always("e0", failure);
        lists.always("e1", failure);
        tokio::time::sleep(20 * SECOND).await;
        assert_eq!(asked_of(&rig, "e0").await, 0);
        tokio::time::sleep(20 * SECOND).await;
        assert_eq!(rig.endpoint("e0").has_model("lora"), None);
        assert!(asked_of(&rig, "e0").await > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_too_long_is_not_read() {
    let rig = Rig::one(2, TrafficPolicy::new());
    let lists = Engines::default();
    lists.everywhere(|| {
        let names: Vec<String> = (0..20_000).map(|n| format!("{n:0>40}")).collect();
        list(
            &names
                .iter()
                .map(|name| &**name)
                .chain(["real"])
                .collect::<Vec<_>>(),
        )
    });
    let polling = ServedModels::new().start(rig.table.clone(), lists.service());
    let _polling = polling.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(rig.endpoint("e0").has_model("lora"), None);
}

#[tokio::test(start_paused = true)]
async fn engines_get_the_headers_of_their_server() {
    let secret = server(1, TrafficPolicy::new()).header("authorization", "Bearer sk-1");
    let table = table([secret], Rule::new("rule").target("server"));
    let rig = Rig::with(table, ModelRouteLayer::new);
    let lists = Engines::default();
    let polling = ServedModels::new()
        .path("/models")
        .interval(5 * SECOND)
        .start(rig.table.clone(), lists.service());
    let _polling = polling.unwrap();
    tokio::time::sleep(6 * SECOND).await;
    let polls = lists.attempts();
    assert_eq!(polls.len(), 2);
    assert_eq!(polls[0].header("authorization"), Some("Bearer sk-1"));
    assert_eq!(polls[0].uri().path(), "/models");
}

#[tokio::test]
async fn mistakes_are_refused() {
    let start = |models: ServedModels| {
        let table = one_server(1, TrafficPolicy::new());
        let started = models.start(table, Engines::default().service());
        started.unwrap_err().mistakes()[0].kind().clone()
    };
    let zero = ServedModels::new().timeout(Duration::ZERO);
    assert_eq!(start(zero), MistakeKind::ZeroTime);
    let host = ServedModels::new().header("host", "x");
    assert_eq!(start(host), MistakeKind::ReservedHeader);
    let path = start(ServedModels::new().path("models"));
    assert!(matches!(path, MistakeKind::InvalidPath(_)));
}
