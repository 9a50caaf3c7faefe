//! Pods are replaced under load, and no client sees an error.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use futures_util::{StreamExt, stream};
use http::Request;
use test_kit::{
    answer::Answer,
    kube::{Engines, Namespace, route, server, shared},
    socket::{Server, http_client},
    table::in_flight,
    time::eventually,
};
use tokio::task::JoinSet;

use super::ALONE;
use crate::watched::Watched;

const PODS: usize = 500;
const AT_ONCE: usize = 50;
const CONNECTIONS: usize = 64;

/// The address of a Pod of the first or the second generation.
fn address(generation: usize, n: usize) -> String {
    format!("127.{generation}.{}.{}", 1 + n / 200, 1 + n % 200)
}

fn name(generation: usize, n: usize) -> String {
    format!("pod-{generation}-{n}")
}

/// Does something for each, some at a time.
async fn each<F: Future<Output = ()>>(range: std::ops::Range<usize>, what: impl Fn(usize) -> F) {
    stream::iter(range.map(what))
        .buffer_unordered(16)
        .count()
        .await;
}

async fn start(space: &Namespace, generation: usize, range: std::ops::Range<usize>) {
    each(range, async |n| {
        let (name, address) = (name(generation, n), address(generation, n));
        space.pod(&name, "engine", &address).await;
    })
    .await;
}

/// The clients; each asks one thing after the other, and counts.
fn clients(url: &str, stop: &Arc<AtomicBool>, done: &Arc<AtomicUsize>) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (url, stop, done) = (url.to_owned(), Arc::clone(stop), Arc::clone(done));
        clients.spawn(async move {
            let client = http_client::<Body>(false);
            while !stop.load(Ordering::Relaxed) {
                let body = Body::from(r#"{"model":"model"}"#);
                let request = Request::post(&url).body(body).unwrap();
                let answer = Answer::of(client.request(request).await.unwrap()).await;
                assert_eq!(answer.status(), 200, "{answer:?}");
                assert!(answer.text().starts_with("127."), "{answer:?}");
                done.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
    clients
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_sees_an_error() {
    let Some(cluster) = shared().await else {
        return;
    };
    let _alone = ALONE.lock().await;
    let (space, engines) = (cluster.namespace().await, Engines::start().await);
    space.apply(server("server", "engine", engines.port)).await;
    space.apply(route("route", "model", "server")).await;
    start(&space, 1, 0..PODS).await;
    let watched = Watched::of(&space).await;
    let gateway = Server::hyper(watched.gateway.clone()).await;
    let url = format!("{}/v1/chat/completions", gateway.url());
    let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let clients = clients(&url, &stop, &done);
    eventually(|| done.load(Ordering::Relaxed) > CONNECTIONS).await;

    for first in (0..PODS).step_by(AT_ONCE) {
        let range = first..first + AT_ONCE;
        // As a Deployment does it: old ones end as soon as new ones are ready, whoever knows it.
        start(&space, 2, range.clone()).await;
        // Engines that take the signal badly: they break off what they have before anyone is told.
        range.clone().for_each(|n| engines.kill(&address(1, n)));
        each(range.clone(), async |n| {
            space.delete("Pod", &name(1, n)).await
        })
        .await;
        each(range, async |n| space.remove(&name(1, n)).await).await;
    }

    let expected: BTreeSet<_> = (0..PODS)
        .map(|n| format!("http://{}:{}", address(2, n), engines.port))
        .collect();
    let server = format!("{}/server", space.name);
    eventually(|| watched.endpoints(&server) == expected).await;
    stop.store(true, Ordering::Relaxed);
    clients.join_all().await;
    assert!(done.load(Ordering::Relaxed) > 10 * CONNECTIONS);
    assert_eq!(in_flight(&watched.table.table()), 0);
}
