//! What becomes of requests when the gateway is asked to stop.
#![cfg(unix)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::Request;
use test_kit::{
    directory::Directory,
    socket::{LAST_CHUNK, Message, Peer, Reply, Upstream, chunk, post},
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Notify,
    time::{sleep, timeout},
};

use crate::{
    files::{at, route, server},
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

async fn streaming(gateway: &Gateway) -> (Peer, Message) {
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
async fn a_request_that_begins_while_others_are_finished_is_answered_too() {
    let (go, _directory, mut gateway) = slow(&[]).await;
    let (mut first, mut answer) = streaming(&gateway).await;
    gateway.terminate();
    gateway.until("Stopping, 1 in flight").await;
    assert_eq!(gateway.get("/readyz").await, 503);
    let address = gateway.url().strip_prefix("http://").unwrap();
    let mut second = Peer::connect(address.parse().unwrap()).await;
    let request = post(r#"{"model": "chat"}"#);
    let (begin, end) = request.split_at(request.len() - 5);
    second.send(begin).await;
    // Connections are accepted in their order.
    assert_eq!(gateway.get("/readyz").await, 503);
    go.notify_one();
    first.reader.read_to_end(&mut answer).await;
    sleep(test_kit::time::A_WHILE).await;
    second.send(end).await;
    go.notify_one();
    assert_eq!(second.answer().await.status(), 200);
    gateway.until("Stopped.").await;
    assert_eq!(gateway.ended().await, Some(0));
}

#[tokio::test]
async fn until_load_balancers_have_noticed_it_goes_on_as_before() {
    let args = ["--drain-delay", "3600", "--admin-listen", "127.0.0.1:0"];
    let (_go, _directory, gateway) = slow(&args).await;
    let admin = gateway.admin_url();
    let is_ready = async || {
        let request = Request::get(format!("{admin}/readyz")).body(String::new());
        let on_admin = gateway.send(request.unwrap()).await.status().as_u16();
        (gateway.get("/readyz").await, on_admin)
    };
    assert_eq!(is_ready().await, (200, 200));
    // As on Ctrl-C.
    gateway.signal("-INT");
    eventually_ready(503, &is_ready).await;
    let address = gateway.url().strip_prefix("http://").unwrap();
    // Connections are kept: nobody is told to close.
    let mut client = Peer::connect(address.parse().unwrap()).await;
    for _ in 0..2 {
        client
            .send("GET /v1/models HTTP/1.1\r\nHost: g\r\n\r\n")
            .await;
        assert_eq!(client.answer().await.status(), 200);
        sleep(test_kit::time::A_WHILE).await;
    }
}

#[tokio::test]
async fn and_stops_when_they_have() {
    let mut gateway = Gateway::start(["--drain-delay", "1s"]).await;
    let begun = Instant::now();
    gateway.terminate();
    gateway.until("Stopped.").await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(gateway.ended().await, Some(0));
}

/// Waits until both say this.
async fn eventually_ready(status: u16, is_ready: &impl AsyncFn() -> (u16, u16)) {
    let asked = async {
        while is_ready().await != (status, status) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(60), asked).await.unwrap();
}

/// A client with a WebSocket to the engine, whose side takes what it is told.
async fn tunnelled(more: &[&str]) -> (Peer, Peer, Directory, Gateway) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let manifests = server("small", "m") + &route("chat", "small");
    let (directory, gateway) = Gateway::serving_on("127.0.0.1:0", &url, &manifests, more).await;
    let (client, engine) = websocket(&gateway, &listener).await;
    (client, engine, directory, gateway)
}

/// Both ends of a WebSocket through this gateway to the engine that listens here.
pub(crate) async fn websocket(gateway: &Gateway, listener: &TcpListener) -> (Peer, Peer) {
    let address = gateway.url().strip_prefix("http://").unwrap();
    let mut client = Peer::connect(address.parse().unwrap()).await;
    client
        .send(
            "GET /v1/realtime?model=chat HTTP/1.1\r\nHost: g\r\nConnection: upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Version: 13\r\n\r\n",
        )
        .await;
    let mut engine = Peer::new(listener.accept().await.unwrap().0);
    engine.raw_until("\r\n\r\n").await;
    engine
        .send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        )
        .await;
    let head = client.raw_until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    (client, engine)
}

#[tokio::test]
async fn an_open_websocket_is_waited_for() {
    let (mut client, mut engine, _directory, mut gateway) = tunnelled(&[]).await;
    gateway.terminate();
    gateway
        .until("Stopping, 1 in flight: 30 s to finish.")
        .await;
    for (from, to) in [("ping", "pong"), ("more", "yes")] {
        client.send(from).await;
        engine.raw_until(from).await;
        engine.send(to).await;
        client.raw_until(to).await;
        sleep(test_kit::time::A_WHILE).await;
    }
    drop((client, engine));
    gateway.until("Stopped.").await;
    assert_eq!(gateway.ended().await, Some(0));
}

#[tokio::test]
async fn also_where_a_reload_has_removed_its_endpoint() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let all = |url: &str| at(&server("small", "m"), url) + &route("chat", "small");
    let directory = Directory::new();
    let engine = format!("http://{}", listener.local_addr().unwrap());
    let path = directory.write("all.yaml", &all(&engine));
    let args = ["--watch", "--manifests", path.to_str().unwrap()];
    let mut gateway = Gateway::start(args).await;
    let (mut client, mut engine) = websocket(&gateway, &listener).await;
    directory.write("all.yaml", &all("http://elsewhere"));
    gateway.until("manifests reloaded").await;
    gateway.terminate();
    gateway
        .until("Stopping, 1 in flight: 30 s to finish.")
        .await;
    sleep(test_kit::time::A_WHILE).await;
    client.send("ping").await;
    engine.raw_until("ping").await;
    drop((client, engine));
    gateway.until("Stopped.").await;
    assert_eq!(gateway.ended().await, Some(0));
}

#[tokio::test]
async fn and_no_longer_than_it_may_take() {
    let (mut client, _engine, _directory, mut gateway) = tunnelled(&["--drain", "1"]).await;
    gateway.terminate();
    gateway.until("Stopped, with 1 in flight cut.").await;
    assert!(client.reader.is_at_end().await);
    assert_eq!(gateway.ended().await, Some(0));
}

/// It stops, and the stream does not end whole.
async fn is_cut(mut gateway: Gateway, mut client: Peer, mut answer: Message) {
    gateway.until("Stopped, with 1 in flight cut.").await;
    client.reader.read_to_end(&mut answer).await;
    assert!(!answer.complete);
    assert_eq!(gateway.ended().await, Some(0));
}

#[tokio::test]
async fn what_takes_longer_than_it_may_is_cut() {
    let (_go, _directory, gateway) = slow(&["--drain", "0"]).await;
    let (client, answer) = streaming(&gateway).await;
    gateway.terminate();
    is_cut(gateway, client, answer).await;
}

#[tokio::test]
async fn a_second_signal_ends_what_is_in_flight() {
    let (_go, _directory, mut gateway) = slow(&["--drain", "5m"]).await;
    let (client, answer) = streaming(&gateway).await;
    gateway.terminate();
    gateway
        .until("Stopping, 1 in flight: 300 s to finish.")
        .await;
    gateway.terminate();
    is_cut(gateway, client, answer).await;
}

#[tokio::test]
async fn and_the_wait_for_load_balancers() {
    let mut gateway = Gateway::start(["--drain-delay", "1h"]).await;
    gateway.terminate();
    gateway.until("Stopping.").await;
    gateway.signal("-INT");
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

/// As a log shipper that has stalled, or Ctrl-S. (Its first thousands of lines wait in memory.)
#[tokio::test]
async fn a_stdout_that_nobody_reads_holds_up_neither_requests_nor_the_end() {
    // Refuses connections: nobody listens to it.
    let engine = TcpSocket::new_v4().unwrap();
    engine.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", engine.local_addr().unwrap());
    let manifests = server("small", "m") + &route("chat", "small");
    let (_directory, gateway) = Gateway::serving_on("127.0.0.1:0", &url, &manifests, &[]).await;
    are_refused(&gateway).await;
    // Enough failures for an event: the endpoint is ejected.
    for _ in 0..8 {
        assert!(gateway.ask("chat").await.status().is_server_error());
    }
    assert_eq!(gateway.get("/healthz").await, 200);
    gateway.terminate();
    assert_eq!(gateway.ended().await, Some(0));
}

/// Sends it many requests, each of which is a line in its logs.
async fn are_refused(gateway: &Gateway) {
    let address = gateway.url().strip_prefix("http://").unwrap();
    let mut client = Peer::connect(address.parse().unwrap()).await;
    for _ in 0..200 {
        client
            .send("GET /nowhere HTTP/1.1\r\nHost: g\r\n\r\n".repeat(100))
            .await;
        for _ in 0..100 {
            assert_eq!(client.answer().await.status(), 404);
        }
    }
}

#[tokio::test]
async fn nor_does_a_stderr_that_nobody_reads() {
    let gateway = Gateway::start_unread(["--access-log", "off"]).await;
    are_refused(&gateway).await;
    gateway.terminate();
    assert_eq!(gateway.ended().await, Some(0));
}
