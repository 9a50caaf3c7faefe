//! A session is in flight as long as it is open.

use std::time::{Duration, Instant};

use test_kit::{
    table,
    time::{A_WHILE, eventually},
};
use tokio::time::timeout;

use super::{
    Rig,
    frames::{CLOSE, Side, TEXT},
    policy,
};

#[tokio::test]
async fn it_is_in_flight_and_counts_for_the_limit() {
    let rig = Rig::new(false, policy().max_in_flight(1)).await;
    let (mut client, mut engine) = rig.session().await;
    assert_eq!(client.hears().await.1, b"created");
    assert_eq!((rig.in_flight(), rig.tunnels.count()), (1, 1));

    let mut second = Side::connect(rig.server.address).await;
    second.asks("websocket").await;
    assert!(second.head().await.starts_with("HTTP/1.1 503 "));

    client.says(TEXT, b"still open").await;
    assert_eq!(engine.hears().await.1, b"still open");
    drop(client);
    assert!(engine.is_at_end().await);
    drop(engine);
    rig.is_idle().await;
    rig.session().await;
}

#[tokio::test]
async fn silence_ends_it_but_not_while_either_side_speaks() {
    let limit = Duration::from_secs(2);
    let rig = Rig::new(true, policy().stream_idle_timeout(limit)).await;
    let (mut client, mut engine) = rig.session().await;
    assert_eq!(client.hears().await.1, b"created");
    for _ in 0..5 {
        tokio::time::sleep(limit / 4).await;
        client.says(TEXT, b"x").await;
        assert_eq!(engine.hears().await.1, b"x");
    }
    for _ in 0..5 {
        tokio::time::sleep(limit / 4).await;
        engine.says(TEXT, b"y").await;
        assert_eq!(client.hears().await.1, b"y");
    }
    let begun = Instant::now();
    assert!(client.is_at_end().await);
    assert!(engine.is_at_end().await);
    assert!(begun.elapsed() >= limit * 9 / 10);
    rig.is_idle().await;
    assert_eq!(table::failures(&rig.table), 0);
}

/// One that has ended is not held open by one that does not.
#[tokio::test]
async fn it_outlives_neither_side_for_long() {
    let rig = Rig::new(false, policy()).await;
    let (mut client, engine) = rig.session().await;
    client.shut_down().await;
    rig.is_idle().await;
    drop(engine);
}

#[tokio::test]
async fn an_engine_that_breaks_off_has_failed() {
    let rig = Rig::new(false, policy()).await;
    let (mut client, engine) = rig.session().await;
    assert_eq!(client.hears().await.1, b"created");
    engine.reset();
    assert!(client.is_at_end().await);
    rig.is_idle().await;
    assert_eq!(table::failures(&rig.table), 1);
}

/// An engine that hangs up on a client that still speaks resets the connection.
#[tokio::test]
async fn an_engine_that_breaks_off_after_a_goodbye_has_not_failed() {
    let rig = Rig::new(false, policy()).await;
    for is_engines in [true, false] {
        let (mut client, mut engine) = rig.session().await;
        assert_eq!(client.hears().await.1, b"created");
        let (first, other) = match is_engines {
            true => (&mut engine, &mut client),
            false => (&mut client, &mut engine),
        };
        first.says(CLOSE, &1000_u16.to_be_bytes()).await;
        assert_eq!(other.hears().await.0, CLOSE);
        engine.reset();
        assert!(client.is_at_end().await);
        rig.is_idle().await;
        assert_eq!(table::failures(&rig.table), 0);
    }
}

#[tokio::test]
async fn a_client_that_breaks_off_is_not_the_engines_failure() {
    let rig = Rig::new(false, policy()).await;
    let (client, mut engine) = rig.session().await;
    client.reset();
    assert!(engine.is_at_end().await);
    drop(engine);
    rig.is_idle().await;
    assert_eq!(table::failures(&rig.table), 0);
}

/// The server's own connections can be gone long before.
#[tokio::test]
async fn a_shutdown_can_wait_for_it() {
    let rig = Rig::new(false, policy()).await;
    let (client, engine) = rig.session().await;
    let tunnels = rig.tunnels.clone();
    eventually(|| tunnels.count() == 1).await;
    assert!(timeout(A_WHILE, tunnels.closed()).await.is_err());
    drop((client, engine));
    timeout(Duration::from_secs(10), tunnels.closed())
        .await
        .unwrap();
    assert_eq!(tunnels.count(), 0);
}
