//! A Pod serves while it runs, is ready, is not being deleted, and has the labels.

use serde_json::json;
use test_kit::kube::{Engines, Namespace, route, server, shared};
use tower_model_route::RouteDecision;

use crate::watched::Watched;

const A: &str = "127.0.0.2";
const B: &str = "127.0.0.3";

/// A route to the Pods `a` and `b`.
async fn two_pods(space: &Namespace, engines: &Engines) -> Watched {
    space.apply(server("server", "engine", engines.port)).await;
    space.apply(route("route", "model", "server")).await;
    space.pod("a", "engine", A).await;
    space.pod("b", "engine", B).await;
    let watched = Watched::of(space).await;
    watched.answered_by("model", &[A, B]).await;
    watched
}

#[tokio::test]
async fn ready_unready_and_ended() {
    let Some(cluster) = shared().await else {
        return;
    };
    let (space, engines) = (cluster.namespace().await, Engines::start().await);
    let watched = two_pods(&space, &engines).await;
    // Scheduled, then starting, then ready.
    space.pod_with("c", json!({"app": "engine"})).await;
    space.pod_status("c", "Pending", false, "").await;
    space.pod_status("c", "Running", false, "127.0.0.4").await;
    space.pod_status("a", "Running", false, A).await;
    watched.answered_by("model", &[B]).await;
    space.pod_status("c", "Running", true, "127.0.0.4").await;
    watched.answered_by("model", &[B, "127.0.0.4"]).await;
    space.pod_status("a", "Running", true, A).await;
    watched.answered_by("model", &[A, B, "127.0.0.4"]).await;
    // One that has failed may have been ready last.
    space.pod_status("c", "Failed", true, "127.0.0.4").await;
    watched.answered_by("model", &[A, B]).await;
    space.pod_status("b", "Unknown", true, B).await;
    watched.answered_by("model", &[A]).await;
}

#[tokio::test]
async fn terminating_and_gone() {
    let Some(cluster) = shared().await else {
        return;
    };
    let (space, engines) = (cluster.namespace().await, Engines::start().await);
    let watched = two_pods(&space, &engines).await;
    space.delete("Pod", "a").await;
    watched.answered_by("model", &[B]).await;
    // It is there still, and ready.
    let pod = space.get("Pod", "a").await.unwrap();
    assert!(!pod["metadata"]["deletionTimestamp"].is_null(), "{pod}");
    space.remove("a").await;
    space.remove("b").await;
    watched.refused("model", 503).await;
}

#[tokio::test]
async fn labels_change() {
    let Some(cluster) = shared().await else {
        return;
    };
    let (space, engines) = (cluster.namespace().await, Engines::start().await);
    let watched = two_pods(&space, &engines).await;
    let label = |app: &str| json!({"metadata": {"labels": {"app": app}}});
    space.patch("Pod", "a", &label("other")).await;
    watched.answered_by("model", &[B]).await;
    space.patch("Pod", "a", &label("engine")).await;
    watched.answered_by("model", &[A, B]).await;
}

/// As a Pod of a StatefulSet that is made anew elsewhere.
#[tokio::test]
async fn one_of_the_same_name_at_another_address() {
    let Some(cluster) = shared().await else {
        return;
    };
    let (space, engines) = (cluster.namespace().await, Engines::start().await);
    let watched = two_pods(&space, &engines).await;
    space.remove("b").await;
    space.remove("a").await;
    space.pod("a", "engine", "127.0.0.9").await;
    watched.answered_by("model", &["127.0.0.9"]).await;
    // A decision knows it by its name.
    let answer = watched.ask("model").await;
    let decision = answer.head.extensions.get::<RouteDecision>().unwrap();
    assert_eq!(decision.endpoint_name(), Some("a"));
}

#[tokio::test]
async fn addresses_of_version_6() {
    let Some(cluster) = shared().await else {
        return;
    };
    let (space, engines) = (cluster.namespace().await, Engines::start().await);
    let watched = two_pods(&space, &engines).await;
    space.remove("a").await;
    space.remove("b").await;
    space.pod("c", "engine", "fd00::7").await;
    let uri = format!("http://[fd00::7]:{}", engines.port);
    watched
        .has(&format!("{}/server", space.name), &[&uri])
        .await;
}

/// Those of another namespace have the labels too.
#[tokio::test]
async fn of_its_own_namespace_only() {
    let Some(cluster) = shared().await else {
        return;
    };
    let (space, engines) = (cluster.namespace().await, Engines::start().await);
    let other = cluster.namespace().await;
    other.pod("c", "engine", "127.0.0.4").await;
    let names = [&space.name, &other.name];
    let watched =
        Watched::by(tower_model_route::kube::Watch::new(space.client()).namespaces(names));
    let watched = watched.await;
    space.apply(server("server", "engine", engines.port)).await;
    space.apply(route("route", "model", "server")).await;
    space.pod("a", "engine", A).await;
    watched.answered_by("model", &[A]).await;
}
