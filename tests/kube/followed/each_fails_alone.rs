//! A bad object harms no other: it stays as it was, is named, and heals.

use serde_json::{Value, json};
use test_kit::kube::{Engines, route, server, shared};
use tower_model_route::kube::Watch;

use crate::watched::Watched;

const A: &str = "127.0.0.2";
const B: &str = "127.0.0.3";

/// The API server takes it, since only we know what the annotation may say.
fn with_rules(mut route: Value, rules: &str) -> Value {
    route["metadata"]["annotations"] = json!({"tower-model-route/rules": rules});
    route
}

#[tokio::test]
async fn the_last_good_version_stays() {
    let Some(cluster) = shared().await else {
        return;
    };
    let (space, engines) = (cluster.namespace().await, Engines::start().await);
    space.apply(server("a", "a", engines.port)).await;
    space.apply(server("b", "b", engines.port)).await;
    space.pod("a", "a", A).await;
    space.pod("b", "b", B).await;
    space.apply(route("good", "good", "a")).await;
    space.apply(route("bad", "bad", "a")).await;
    let watched = Watched::of(&space).await;
    watched.answered_by("bad", &[A]).await;

    let wrong = with_rules(route("bad", "bad", "b"), "[nothing");
    space.apply(wrong).await;
    watched
        .complains(&format!("ModelRoute {}/bad", space.name))
        .await;
    // Others change meanwhile.
    space.apply(route("good", "good", "b")).await;
    watched.answered_by("good", &[B]).await;
    watched.answered_by("bad", &[A]).await;

    space
        .apply(with_rules(route("bad", "bad", "b"), "{}"))
        .await;
    watched.answered_by("bad", &[B]).await;
    watched.is_content().await;
}

#[tokio::test]
async fn without_a_good_version_it_is_absent() {
    let Some(cluster) = shared().await else {
        return;
    };
    let (space, engines) = (cluster.namespace().await, Engines::start().await);
    space.apply(server("a", "a", engines.port)).await;
    space.pod("a", "a", A).await;
    space.apply(route("good", "good", "a")).await;
    space
        .apply(with_rules(route("bad", "bad", "a"), "[nothing"))
        .await;
    let watched = Watched::of(&space).await;
    watched.answered_by("good", &[A]).await;
    assert_eq!(watched.ask("bad").await.status(), 404);
    let error = watched.error();
    assert!(
        error.contains(&format!("ModelRoute {}/bad", space.name)),
        "{error}"
    );
    space.delete("ModelRoute", "bad").await;
    watched.is_content().await;
}

/// A target without its ModelServer gives its share to the others.
#[tokio::test]
async fn a_model_server_that_is_not_there_yet() {
    let Some(cluster) = shared().await else {
        return;
    };
    let (space, engines) = (cluster.namespace().await, Engines::start().await);
    space.pod("a", "a", A).await;
    space.pod("b", "b", B).await;
    let mut two = route("route", "model", "a");
    two["spec"]["rules"][0]["targetModels"] =
        json!([{"modelServerName": "a"}, {"modelServerName": "b"}]);
    space.apply(two).await;
    let watched = Watched::of(&space).await;
    assert_eq!(watched.ask("model").await.status(), 503);
    space.apply(server("a", "a", engines.port)).await;
    watched.answered_by("model", &[A]).await;
    space.apply(server("b", "b", engines.port)).await;
    watched.answered_by("model", &[A, B]).await;
    watched.is_content().await;
}

/// `kubectl describe` shows it, if the gateway may say so.
#[tokio::test]
async fn an_event_object_names_it() {
    let Some(cluster) = shared().await else {
        return;
    };
    let space = cluster.namespace().await;
    let watch = Watch::new(space.client())
        .namespaces([&space.name])
        .events(true);
    let watched = Watched::by(watch).await;
    let bad = with_rules(route("bad", "bad", "a"), "[nothing");
    let stored = space.apply(bad).await;
    watched.complains("bad").await;
    let mut events = Vec::new();
    for _ in 0..500 {
        events = space.list("Event").await.unwrap();
        if !events.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let event = events.first().expect("an Event object");
    assert_eq!(event["involvedObject"]["uid"], stored["metadata"]["uid"]);
    assert_eq!(event["involvedObject"]["name"], "bad");
    assert_eq!(event["type"], "Warning");
}
