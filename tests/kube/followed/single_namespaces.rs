//! With rights in single namespaces the objects of those are served.

use test_kit::kube::{Engines, documents, route, server, shared};
use tower_model_route::kube::Watch;

use crate::watched::Watched;

const ROLE: &str = include_str!("../../../examples/kubernetes/role.yaml");

#[tokio::test]
async fn by_a_role() {
    let Some(cluster) = shared().await else {
        return;
    };
    let engines = Engines::start().await;
    let (mine, other) = (cluster.namespace().await, cluster.namespace().await);
    let account = serde_json::json!({"kind": "ServiceAccount", "metadata": {"name": "gateway"}});
    mine.apply(account).await;
    let role = ROLE
        .replace("namespace: ml", &format!("namespace: {}", mine.name))
        .replace(
            "namespace: model-route",
            &format!("namespace: {}", mine.name),
        );
    for (object, _) in documents(&role) {
        mine.apply(object).await;
    }
    for space in [&mine, &other] {
        space.apply(server("server", "engine", engines.port)).await;
        space.apply(route("route", &space.name, "server")).await;
        space.pod("a", "engine", "127.0.0.2").await;
    }
    let client = cluster.client_of(&mine.token("gateway").await).await;
    let watched = Watched::by(Watch::new(client).namespaces([&mine.name])).await;
    watched.answered_by(&mine.name, &["127.0.0.2"]).await;
    assert_eq!(watched.ask(&other.name).await.status(), 404);
    mine.pod("b", "engine", "127.0.0.3").await;
    watched
        .answered_by(&mine.name, &["127.0.0.2", "127.0.0.3"])
        .await;
}
