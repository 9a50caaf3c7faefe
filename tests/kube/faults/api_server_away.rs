//! What was known last serves on while the API server is away, and is never emptied by its return.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use test_kit::kube::{Cluster, Engines, Lists, route, server};
use tokio::task::JoinHandle;
use tower_model_route::kube::Watch;

use crate::watched::Watched;

const A: &str = "127.0.0.2";
const B: &str = "127.0.0.3";
const C: &str = "127.0.0.4";

/// Asks all the while; how many answers there were, each of which was 200.
fn asking(watched: Arc<Watched>, stop: Arc<AtomicBool>) -> JoinHandle<usize> {
    tokio::spawn(async move {
        let mut answers = 0;
        while !stop.load(Ordering::Relaxed) {
            let answer = watched.ask("model").await;
            assert_eq!(answer.status(), 200, "{answer:?}");
            answers += 1;
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        answers
    })
}

#[tokio::test]
async fn killed_cut_off_and_compacted() {
    let Some(mut cluster) = Cluster::start(Lists::Streamed).await else {
        return;
    };
    let (space, engines) = (cluster.namespace().await, Engines::start().await);
    space.apply(server("server", "engine", engines.port)).await;
    space.apply(route("route", "model", "server")).await;
    space.pod("a", "engine", A).await;
    space.pod("b", "engine", B).await;
    let (between, client) = cluster.slow().await;
    let watched = Watched::by(Watch::new(client).namespaces([&space.name])).await;
    watched.answered_by("model", &[A, B]).await;
    let (watched, stop) = (Arc::new(watched), Arc::<AtomicBool>::default());
    let asked = asking(Arc::clone(&watched), Arc::clone(&stop));

    cluster.kill();
    tokio::time::sleep(test_kit::time::A_WHILE * 10).await;
    watched.answered_by("model", &[A, B]).await;
    assert!(watched.watch.is_ready());
    cluster.restart().await;
    watched.answered_by("model", &[A, B]).await;
    space.pod("c", "engine", C).await;
    watched.answered_by("model", &[A, B, C]).await;

    // What is gone when it comes back must be noticed by a new list: there is no history.
    let version = space.get("Pod", "c").await.unwrap()["metadata"]["resourceVersion"].clone();
    between.cut(true);
    space.remove("b").await;
    space.pod("d", "engine", "127.0.0.5").await;
    cluster.compact().await;
    cluster.restart().await;
    let since = format!("&resourceVersion={}", version.as_str().unwrap());
    let told = space.watch_with("Pod", &since).await.unwrap();
    assert!(told.contains(r#""code":410"#), "{told}");
    watched.answered_by("model", &[A, B, C]).await;
    between.cut(false);
    watched.answered_by("model", &[A, C, "127.0.0.5"]).await;

    stop.store(true, Ordering::Relaxed);
    assert!(asked.await.unwrap() > 0);
}
