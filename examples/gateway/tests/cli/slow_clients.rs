//! Clients that take nothing of what they are sent.
#![cfg(unix)]

use std::{future, net::SocketAddr};

use axum::http::Request;
use test_kit::{
    directory::Directory,
    socket::{H2Client, Peer, Reply, Upstream, h2_post, post, whole},
};
use tokio::net::TcpListener;

use crate::{
    files::{route, server},
    program::Gateway,
    stop::websocket,
};

/// More than all buffers on the way have room for.
const MUCH: usize = 32 << 20;

const PATIENCE: [&str; 2] = ["--send-timeout", "1s"];

fn manifests() -> String {
    server("small", "m") + &route("chat", "small")
}

/// A gateway before an engine whose answers are long.
async fn before_a_long_answer() -> (Upstream, Directory, Gateway) {
    let long = Reply::ok(&"x".repeat(MUCH));
    let engine = Upstream::start(move |_| long.clone()).await;
    let (directory, gateway) = Gateway::serving(&engine, &manifests(), &PATIENCE).await;
    (engine, directory, gateway)
}

fn address(gateway: &Gateway) -> SocketAddr {
    let address = gateway.url().strip_prefix("http://").unwrap();
    address.parse().unwrap()
}

#[tokio::test]
async fn a_socket_that_is_not_read_loses_its_place_at_the_engine() {
    let (_engine, _directory, mut gateway) = before_a_long_answer().await;
    let mut client = Peer::connect(address(&gateway)).await;
    client.send(post(r#"{"model": "chat"}"#)).await;
    let said = gateway.until("/v1/chat/completions").await;
    assert!(said.contains("client_gone"), "{said}");
    let mut answer = client.message().await;
    client.reader.read_to_end(&mut answer).await;
    assert!(!answer.complete && answer.body.len() < MUCH);
}

#[tokio::test]
async fn so_does_an_http2_stream_whose_window_is_0() {
    let (_engine, _directory, mut gateway) = before_a_long_answer().await;
    let mut client = H2Client::connect(address(&gateway)).await;
    let request = h2_post().body(whole(r#"{"model": "chat"}"#)).unwrap();
    // Its window opens as its body is read.
    let _unread = client.send(request).await;
    let said = gateway.until("/v1/chat/completions").await;
    assert!(said.contains("client_gone"), "{said}");
    // The connection has other streams.
    let list = Request::get("http://gateway.test/v1/models");
    let answer = client.ask(list.body(whole("")).unwrap()).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn so_does_a_websocket() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (_directory, mut gateway) =
        Gateway::serving_on("127.0.0.1:0", &url, &manifests(), &PATIENCE).await;
    let (_client, mut engine) = websocket(&gateway, &listener).await;
    tokio::spawn(async move {
        engine.send(vec![0; MUCH]).await;
        // It does not end it.
        future::pending::<()>().await;
    });
    let said = gateway.until("/v1/realtime").await;
    assert!(said.contains("client_gone"), "{said}");
}
