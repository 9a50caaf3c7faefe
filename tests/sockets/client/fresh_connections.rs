//! When a connection is used again, and when not.

use std::time::Duration;

use http::Request;
use test_kit::socket::{Reply, Upstream};
use tower_model_route::{EngineClient, FreshConnection, RouteBody, engine_client};

use super::{ask, post};

/// How many connections an engine has seen, after three requests with a pause between.
async fn connections(
    client: EngineClient,
    pause: Duration,
    mark: impl Fn(&mut Request<RouteBody>),
) -> usize {
    let engine = Upstream::start(|_| Reply::ok("{}")).await;
    for _ in 0..3 {
        let mut request = post(&engine.url());
        mark(&mut request);
        assert_eq!(ask(&client, request).await.0, 200);
        tokio::time::sleep(pause).await;
    }
    drop(client);
    engine.finish().await.0
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let pause = Duration::from_millis(5);
    assert_eq!(connections(engine_client(), pause, |_| ()).await, 1);
}

#[tokio::test]
async fn clones_share_connections_and_a_client_may_have_its_own() {
    let engine = Upstream::start(|_| Reply::ok("{}")).await;
    let client = engine_client();
    let own = client.with_own_connections();
    for client in [&client, &client.clone(), &own, &own.clone()] {
        assert_eq!(ask(client, post(&engine.url())).await.0, 200);
        // The connection goes back to the others once its answer is over.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop((client, own));
    assert_eq!(engine.finish().await.0, 2);
}

#[tokio::test]
async fn a_request_may_ask_for_its_own() {
    let mark = |request: &mut Request<RouteBody>| {
        request.extensions_mut().insert(FreshConnection);
    };
    let pause = Duration::from_millis(5);
    assert_eq!(connections(engine_client(), pause, mark).await, 3);
}

#[tokio::test]
async fn an_idle_one_is_given_up() {
    let client = |idle| {
        EngineClient::builder()
            .pool_idle_timeout(idle)
            .build()
            .unwrap()
    };
    let (idle, pause) = (Duration::from_millis(20), Duration::from_millis(60));
    assert_eq!(connections(client(idle), pause, |_| ()).await, 3);
    assert_eq!(
        connections(client(Duration::ZERO), Duration::ZERO, |_| ()).await,
        3
    );
}
