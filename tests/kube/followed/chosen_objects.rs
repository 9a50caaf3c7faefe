//! Of a cluster's objects those are taken that the labels or the Gateway say.

use serde_json::{Value, json};
use test_kit::kube::{Engines, Namespace, route, server, shared};
use tower_model_route::kube::Watch;

use crate::watched::Watched;

const A: &str = "127.0.0.2";

fn labelled(mut object: Value, team: &str) -> Value {
    object["metadata"]["labels"] = json!({"team": team});
    object
}

fn attached(mut route: Value, gateway: &str) -> Value {
    route["spec"]["parentRefs"] = json!([{"name": gateway}]);
    route
}

fn watch(space: &Namespace) -> Watch {
    Watch::new(space.client()).namespaces([&space.name])
}

#[tokio::test]
async fn by_labels() {
    let Some(cluster) = shared().await else {
        return;
    };
    let (space, engines) = (cluster.namespace().await, Engines::start().await);
    let one = labelled(server("server", "engine", engines.port), "ml");
    space.apply(one).await;
    space.pod("a", "engine", A).await;
    space
        .apply(labelled(route("mine", "mine", "server"), "ml"))
        .await;
    space
        .apply(labelled(route("theirs", "theirs", "server"), "search"))
        .await;
    let watched = Watched::by(watch(&space).label_selector("team in (ml, speech)")).await;
    watched.answered_by("mine", &[A]).await;
    assert_eq!(watched.ask("theirs").await.status(), 404);
    // It changes hands.
    space
        .apply(labelled(route("theirs", "theirs", "server"), "speech"))
        .await;
    watched.answered_by("theirs", &[A]).await;
    space
        .apply(labelled(route("mine", "mine", "server"), "search"))
        .await;
    watched.refused("mine", 404).await;
}

#[tokio::test]
async fn by_a_gateway() {
    let Some(cluster) = shared().await else {
        return;
    };
    let (space, engines) = (cluster.namespace().await, Engines::start().await);
    space.apply(server("server", "engine", engines.port)).await;
    space.pod("a", "engine", A).await;
    space
        .apply(attached(route("mine", "mine", "server"), "inference"))
        .await;
    space
        .apply(attached(route("theirs", "theirs", "server"), "other"))
        .await;
    let gateway = format!("{}/inference", space.name);
    let watched = Watched::by(watch(&space).gateway(gateway)).await;
    watched.answered_by("mine", &[A]).await;
    assert_eq!(watched.ask("theirs").await.status(), 404);
    space
        .apply(attached(route("theirs", "theirs", "server"), "inference"))
        .await;
    watched.answered_by("theirs", &[A]).await;
}
