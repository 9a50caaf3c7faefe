//! Clients that go away: what they asked for goes with them.

use std::sync::Arc;

use test_kit::{
    socket::{H2Client, Reply, Wire, h2_post, post, whole},
    time::within,
};
use tokio::sync::Notify;

const BODY: &str = r#"{"model":"alias"}"#;

/// An engine that never finishes what it has begun to say.
async fn endless(begin: &str) -> Wire {
    Wire::answering(Reply::new(begin).then_wait(&Arc::<Notify>::default())).await
}

/// Waits, without a clock, until nothing is in flight any more.
async fn assert_released(wire: &Wire) {
    let released = async {
        while wire.in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    };
    within(released).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer() {
    let mut wire = endless("").await;
    let mut client = wire.connect().await;
    client.send(post(BODY)).await;
    wire.upstream.next().await;
    assert_eq!(wire.in_flight(), 1);
    drop(client);
    assert_released(&wire).await;
}

#[tokio::test]
async fn a_client_that_leaves_during_the_answer() {
    for begin in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello",
    ] {
        let wire = endless(begin).await;
        let mut client = wire.connect().await;
        client.send(post(BODY)).await;
        client.raw_until("hello").await;
        assert_eq!(wire.in_flight(), 1);
        drop(client);
        assert_released(&wire).await;
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_during_the_answer() {
    let wire = endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    let mut client = H2Client::connect(wire.gateway.address).await;
    let answer = client.send(h2_post().body(whole(BODY)).unwrap()).await;
    assert_eq!(wire.in_flight(), 1);
    drop(answer);
    assert_released(&wire).await;
}

/// Each request counts for itself, and only as long as it lasts.
#[tokio::test]
async fn requests_are_counted_apart() {
    let (first, second) = (Arc::<Notify>::default(), Arc::<Notify>::default());
    let waits = [Arc::clone(&first), Arc::clone(&second)];
    let mut wire = Wire::scripted(move |request| {
        let n = request.json()["n"].as_u64().unwrap();
        Reply::new("")
            .then_wait(&waits[n as usize])
            .then("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    })
    .await;
    let mut clients = [wire.connect().await, wire.connect().await];
    for (n, client) in clients.iter_mut().enumerate() {
        client
            .send(post(format!(r#"{{"model":"alias","n":{n}}}"#)))
            .await;
        wire.upstream.next().await;
        assert_eq!(wire.in_flight(), n + 1);
    }
    let [mut one, mut two] = clients;
    second.notify_one();
    two.answer().await;
    assert_eq!(wire.in_flight(), 1);
    first.notify_one();
    one.answer().await;
    assert_eq!(wire.in_flight(), 0);
}
