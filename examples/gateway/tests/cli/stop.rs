//! What becomes of requests when the gateway is asked to stop.
#![cfg(unix)]

use std::sync::Arc;

use test_kit::{
    directory::Directory,
    socket::{LAST_CHUNK, Peer, Reply, Upstream, chunk, post},
};
use tokio::sync::Notify;

use crate::{
    files::{route, server},
    program::Gateway,
};

/// An engine whose answer begins, and ends when it is told to; and a gateway in front of it.
async fn slow(more: &[&str]) -> (Arc<Notify>, Directory, Gateway) {
    let go = Arc::new(Notify::new());
    let begun = Reply::new("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    let reply = begun
        .then(chunk("first"))
        .then_wait(&go)
        .then(chunk("last"))
        .then(LAST_CHUNK);
    let engine = Upstream::start(move |_| reply.clone()).await;
    let manifests = server("small", "m") + &route("chat", "small");
    let (directory, gateway) = Gateway::serving(&engine, &manifests, more).await;
    (go, directory, gateway)
}

async fn streaming(gateway: &Gateway) -> (Peer, test_kit::socket::Message) {
    let address = gateway.url().strip_prefix("http://").unwrap();
    let mut client = Peer::connect(address.parse().unwrap()).await;
    client.send(post(r#"{"model": "chat"}"#)).await;
    let mut answer = client.message().await;
    client.read(&mut answer, 5).await;
    (client, answer)
}

#[tokio::test]
async fn a_stream_is_finished_and_new_requests_are_told_to_go_elsewhere() {
    let (go, _directory, mut gateway) = slow(&[]).await;
    assert_eq!(
        (gateway.get("/healthz").await, gateway.get("/readyz").await),
        (200, 200)
    );
    let (mut client, mut answer) = streaming(&gateway).await;
    gateway.terminate();
    gateway
        .until("Stopping, 1 in flight: 30 s to finish.")
        .await;
    assert_eq!(
        (gateway.get("/healthz").await, gateway.get("/readyz").await),
        (200, 503)
    );
    // Who has not noticed yet is answered.
    assert_eq!(gateway.get("/v1/models").await, 200);
    go.notify_one();
    client.reader.read_to_end(&mut answer).await;
    assert_eq!((answer.complete, &*answer.body), (true, &b"firstlast"[..]));
    gateway.until("Stopped.").await;
    assert_eq!(gateway.ended().await, Some(0));
}

#[tokio::test]
async fn what_takes_longer_than_it_may_is_cut() {
    let (_go, _directory, mut gateway) = slow(&["--drain", "0"]).await;
    let (mut client, mut answer) = streaming(&gateway).await;
    gateway.terminate();
    gateway.until("Stopped, with 1 in flight cut.").await;
    client.reader.read_to_end(&mut answer).await;
    assert!(!answer.complete);
    assert_eq!(gateway.ended().await, Some(0));
}

#[tokio::test]
async fn an_idle_one_stops_at_once() {
    let gateway = Gateway::start([""; 0]).await;
    let address = gateway.url().strip_prefix("http://").unwrap();
    let _idle = Peer::connect(address.parse().unwrap()).await;
    gateway.terminate();
    assert_eq!(gateway.ended().await, Some(0));
}
