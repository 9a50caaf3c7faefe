//! A slow API server makes changes late, and no request.

use std::time::{Duration, Instant};

use test_kit::kube::{Engines, route, server, shared};
use tower_model_route::kube::Watch;

use crate::watched::Watched;

#[tokio::test]
async fn changes_come_late() {
    const MILLIS: u64 = 300;
    let Some(cluster) = shared().await else {
        return;
    };
    let (space, engines) = (cluster.namespace().await, Engines::start().await);
    space.apply(server("server", "engine", engines.port)).await;
    space.apply(route("route", "model", "server")).await;
    space.pod("a", "engine", "127.0.0.2").await;
    let (slow, client) = cluster.slow().await;
    slow.delay(MILLIS);
    let begun = Instant::now();
    let watched = Watched::by(Watch::new(client).namespaces([&space.name])).await;
    assert!(begun.elapsed() > Duration::from_millis(2 * MILLIS));
    watched.answered_by("model", &["127.0.0.2"]).await;
    space.pod("b", "engine", "127.0.0.3").await;
    // Nothing is taken away while it is not known what comes.
    assert_eq!(watched.ask("model").await.status(), 200);
    watched
        .answered_by("model", &["127.0.0.2", "127.0.0.3"])
        .await;
    space.delete("Pod", "a").await;
    watched.answered_by("model", &["127.0.0.3"]).await;
}
