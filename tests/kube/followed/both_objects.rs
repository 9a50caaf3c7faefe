//! A ModelRoute or ModelServer that is made, changed or deleted is in the table.

use serde_json::json;
use test_kit::kube::{Engines, route, server, shared};

use crate::watched::Watched;

#[tokio::test]
async fn routes_come_change_and_go() {
    let Some(cluster) = shared().await else {
        return;
    };
    let (space, engines) = (cluster.namespace().await, Engines::start().await);
    let watched = Watched::of(&space).await;
    space.apply(server("a", "a", engines.port)).await;
    space.apply(server("b", "b", engines.port)).await;
    space.pod("a", "a", "127.0.0.2").await;
    space.pod("b", "b", "127.0.0.3").await;
    assert_eq!(watched.ask("model").await.status(), 404);

    space.apply(route("route", "model", "a")).await;
    watched.answered_by("model", &["127.0.0.2"]).await;
    space.apply(route("route", "model", "b")).await;
    watched.answered_by("model", &["127.0.0.3"]).await;
    space.apply(route("route", "renamed", "b")).await;
    watched.answered_by("renamed", &["127.0.0.3"]).await;
    assert_eq!(watched.ask("model").await.status(), 404);
    space.delete("ModelRoute", "route").await;
    watched.refused("renamed", 404).await;
}

#[tokio::test]
async fn servers_come_change_and_go() {
    let Some(cluster) = shared().await else {
        return;
    };
    let (space, engines) = (cluster.namespace().await, Engines::start().await);
    let others = Engines::start().await;
    space.apply(route("route", "model", "server")).await;
    space.pod("a", "a", "127.0.0.2").await;
    space.pod("b", "b", "127.0.0.3").await;
    let watched = Watched::of(&space).await;
    watched.refused("model", 503).await;

    space.apply(server("server", "a", engines.port)).await;
    watched.answered_by("model", &["127.0.0.2"]).await;
    // Another selector.
    space.apply(server("server", "b", engines.port)).await;
    watched.answered_by("model", &["127.0.0.3"]).await;
    // Another port.
    space.apply(server("server", "b", others.port)).await;
    let uri = format!("http://127.0.0.3:{}", others.port);
    let name = format!("{}/server", space.name);
    watched.has(&name, &[&uri]).await;
    // Never for no labels at all.
    let selector = json!({"spec": {"workloadSelector": {"matchLabels": {"app": null}}}});
    space.patch("ModelServer", "server", &selector).await;
    watched.has(&name, &[]).await;
    space.apply(server("server", "a", engines.port)).await;
    watched.answered_by("model", &["127.0.0.2"]).await;
    space.delete("ModelServer", "server").await;
    watched.refused("model", 503).await;
}
