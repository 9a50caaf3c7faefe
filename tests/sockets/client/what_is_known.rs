//! What the error says of a connection that failed.

use std::{
    error::Error,
    io,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use test_kit::socket::{Message, Reply, Upstream};
use tokio::net::TcpListener;
use tower_model_route::{ConnectionFailureKind as Kind, EngineClient, engine_client};

use super::{ask, failure, kind, post, send};

/// An engine that answers the first request of all, and then by `reply`.
async fn then(reply: Reply) -> Upstream {
    let requests = AtomicUsize::new(0);
    Upstream::abrupt(
        move |_: &Message| match requests.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::ok("first"),
            _ => reply.clone(),
        },
    )
    .await
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = send(&engine_client(), post(&url)).await.unwrap_err();
    assert_eq!(kind(&error), Some(Kind::NotConnected));
    let error: &(dyn Error + 'static) = &*error;
    let mut chain = std::iter::successors(Some(error), |&error| error.source());
    let io = chain.find_map(|error| error.downcast_ref::<io::Error>());
    assert_eq!(
        io.expect("it is kept").kind(),
        io::ErrorKind::ConnectionRefused
    );
}

/// The kernel takes the connection, and nobody answers the TLS handshake.
#[tokio::test]
async fn connecting_takes_too_long() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let client = EngineClient::builder()
        .connect_timeout(Duration::from_millis(50))
        .build()
        .unwrap();
    assert_eq!(failure(&client, post(&url)).await, Some(Kind::NotConnected));
}

#[tokio::test]
async fn a_fresh_connection_is_lost() {
    for engine in [
        Upstream::start(|_| Reply::close()).await,
        Upstream::abrupt(|_| Reply::close()).await,
    ] {
        let got = failure(&engine_client(), post(&engine.url())).await;
        assert_eq!(got, Some(Kind::Lost));
    }
}

#[tokio::test]
async fn a_reused_connection_is_lost_without_a_byte_of_an_answer() {
    let (engine, client) = (then(Reply::close()).await, engine_client());
    assert_eq!(ask(&client, post(&engine.url())).await.1, "first");
    assert_eq!(
        failure(&client, post(&engine.url())).await,
        Some(Kind::Stale)
    );
    assert_eq!(engine.finish().await.0, 1);
}

/// It did read the request.
#[tokio::test]
async fn a_reused_connection_is_lost_within_an_answer() {
    let half = Reply::new("HTTP/1.1 200 OK\r\nContent-").then_close();
    let (engine, client) = (then(half).await, engine_client());
    assert_eq!(ask(&client, post(&engine.url())).await.1, "first");
    assert_eq!(
        failure(&client, post(&engine.url())).await,
        Some(Kind::Lost)
    );
}

#[tokio::test]
async fn an_answer_that_is_not_http_says_nothing_of_the_connection() {
    let engine = Upstream::abrupt(|_| Reply::new("\u{1}\u{2}what?\r\n\r\n")).await;
    assert_eq!(failure(&engine_client(), post(&engine.url())).await, None);
}
