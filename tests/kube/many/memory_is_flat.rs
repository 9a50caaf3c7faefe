//! However much happens in a cluster, what a watch holds is what is there.

use std::fs;

use futures_util::{StreamExt, stream};
use serde_json::{Map, Value, json};
use test_kit::kube::{Engines, Namespace, route, server, shared};

use super::ALONE;
use crate::watched::Watched;

const PODS: usize = 50;
const EVENTS: usize = 10_000;
/// Of each Pod. A watch needs its labels, so that what it holds of a Pod is heavy, too.
const LABELS: usize = 20;
/// Two thirds of what the Pods of all events would take.
const MOST: usize = EVENTS * LABELS * 60;

/// What this process holds, in bytes; `None` where that can't be known.
fn resident() -> Option<usize> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = pages.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

/// Pods become ready and unready.
async fn events(space: &Namespace, count: usize) {
    let events = (0..count).map(async |n| {
        let (pod, round) = (n % PODS, n / PODS);
        let address = format!("127.0.0.{}", pod + 1);
        let name = format!("pod-{pod}");
        space
            .pod_status(&name, "Running", round % 2 == 0, &address)
            .await;
    });
    stream::iter(events).buffer_unordered(8).count().await;
}

#[tokio::test]
async fn after_ten_thousand_events() {
    let Some(cluster) = shared().await else {
        return;
    };
    let _alone = ALONE.lock().await;
    let (space, engines) = (cluster.namespace().await, Engines::start().await);
    space.apply(server("server", "engine", engines.port)).await;
    space.apply(route("route", "model", "server")).await;
    let labels = (0..LABELS).map(|n| (format!("label-{n}"), json!("x".repeat(63))));
    let labels: Map<_, _> = labels
        .chain([("app".to_owned(), json!("engine"))])
        .collect();
    for pod in 0..PODS {
        let labels = Value::Object(labels.clone());
        space.pod_with(&format!("pod-{pod}"), labels).await;
    }
    let watched = Watched::of(&space).await;
    // What is allocated once has been.
    events(&space, EVENTS / 10 + PODS).await;
    let before = resident();
    let reloads = watched.table.reloads().0;
    events(&space, EVENTS).await;
    let after = resident();
    assert!(watched.table.reloads().0 > reloads);
    if let (Some(before), Some(after)) = (before, after) {
        assert!(
            after < before + MOST,
            "{before} bytes before, {after} after"
        );
    }
    // And all of it has been seen: in the last round all were unready.
    watched.has(&format!("{}/server", space.name), &[]).await;
}
