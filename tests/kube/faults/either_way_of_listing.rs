//! Lists come as streams, or in pages where the API server refuses that.

use futures_util::{StreamExt, stream};
use test_kit::kube::{Cluster, Engines, Lists, route, server, shared};

use crate::watched::Watched;

const STREAMED: &str =
    "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";

/// More than one page.
const ROUTES: usize = 520;

async fn is_followed(cluster: &Cluster) {
    let (space, engines) = (cluster.namespace().await, Engines::start().await);
    space.apply(server("server", "engine", engines.port)).await;
    space.pod("a", "engine", "127.0.0.2").await;
    let routes = (0..ROUTES).map(|n| {
        let model = format!("model-{n}");
        space.apply(route(&model, &model, "server"))
    });
    stream::iter(routes).buffer_unordered(16).count().await;
    let watched = Watched::of(&space).await;
    for n in 0..ROUTES {
        let answer = watched.ask(&format!("model-{n}")).await;
        assert_eq!(answer.status(), 200, "{n}: {answer:?}");
    }
    space.delete("ModelRoute", "model-7").await;
    watched.refused("model-7", 404).await;
    space.pod("b", "engine", "127.0.0.3").await;
    watched
        .answered_by("model-8", &["127.0.0.2", "127.0.0.3"])
        .await;
    assert_eq!(watched.error(), "");
}

#[tokio::test]
async fn as_a_stream() {
    let Some(cluster) = shared().await else {
        return;
    };
    let space = cluster.namespace().await;
    space.watch_with("Pod", STREAMED).await.unwrap();
    is_followed(cluster).await;
}

#[tokio::test]
async fn in_pages() {
    let Some(cluster) = Cluster::start(Lists::Paged).await else {
        return;
    };
    let space = cluster.namespace().await;
    space.watch_with("Pod", STREAMED).await.unwrap_err();
    is_followed(&cluster).await;
}
