//! Nothing is served before the first lists are in; from then on everything is.

use test_kit::kube::{Engines, route, server, shared};
use tower_model_route::kube::Watch;

use crate::watched::Watched;

#[tokio::test]
async fn the_first_request_is_served() {
    let Some(cluster) = shared().await else {
        return;
    };
    let (space, engines) = (cluster.namespace().await, Engines::start().await);
    space.apply(server("small", "small", engines.port)).await;
    for n in 0..20 {
        let model = format!("model-{n}");
        space.apply(route(&model, &model, "small")).await;
    }
    space.pod("one", "small", "127.0.0.2").await;
    space.pod("two", "small", "127.0.0.3").await;
    let watched = Watched::of(&space).await;
    // None is answered with 404, and each pod is there.
    let mut by = Vec::new();
    for n in 0..20 {
        let answer = watched.ask(&format!("model-{n}")).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        by.push(answer.text().to_owned());
    }
    for engine in ["127.0.0.2", "127.0.0.3"] {
        assert!(by.iter().any(|it| it == engine), "{by:?}");
    }
    assert_eq!(watched.error(), "");
}

/// A cluster without anything for us is one that is known.
#[tokio::test]
async fn an_empty_cluster_is_ready() {
    let Some(cluster) = shared().await else {
        return;
    };
    let space = cluster.namespace().await;
    let watched = Watched::of(&space).await;
    assert_eq!(watched.ask("model").await.status(), 404);
}

/// The other way round: who may list nothing is never ready.
#[tokio::test]
async fn without_rights_it_is_never_ready() {
    let Some(cluster) = shared().await else {
        return;
    };
    let space = cluster.namespace().await;
    let account = serde_json::json!({"kind": "ServiceAccount", "metadata": {"name": "nobody"}});
    space.apply(account).await;
    let client = cluster.client_of(&space.token("nobody").await).await;
    let watched = Watched::start(Watch::new(client).namespaces([&space.name]));
    let ready = tokio::time::timeout(test_kit::time::A_WHILE * 10, watched.watch.ready());
    assert!(ready.await.is_err());
    assert!(!watched.watch.is_ready());
}
