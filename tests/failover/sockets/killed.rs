//! One of two engines is killed in the middle of load.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::task::JoinSet;
use tower_model_route::TrafficPolicy;

use super::{
    engine::{Engine, Kind},
    gateway::{Gateway, Got, within},
};

const CONNECTIONS: usize = 64;
const REQUESTS: usize = 20;

/// Asks on many connections; `kill` comes when a third of it is done.
async fn load(gateway: &Gateway, body: &'static str, kill: impl Future<Output = ()>) -> Vec<Got> {
    let client = gateway.client();
    let done = Arc::<AtomicUsize>::default();
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (client, done) = (client.clone(), Arc::clone(&done));
        connections.spawn(async move {
            let mut got = Vec::new();
            for _ in 0..REQUESTS {
                got.push(client.ask(body).await);
                done.fetch_add(1, Ordering::SeqCst);
            }
            got
        });
    }
    while done.load(Ordering::SeqCst) < CONNECTIONS * REQUESTS / 3 {
        tokio::task::yield_now().await;
    }
    kill.await;
    let got = within(connections.join_all())
        .await
        .into_iter()
        .flatten()
        .collect();
    within(gateway.is_idle()).await;
    got
}

fn policy() -> TrafficPolicy {
    TrafficPolicy::new().max_retries(1)
}

#[tokio::test]
async fn no_client_sees_an_error() {
    let [one, other] = [
        Engine::spawn(Kind::Serves).await,
        Engine::spawn(Kind::Serves).await,
    ];
    let gateway = Gateway::to([one.url(), other.url()], policy()).await;
    let got = load(&gateway, r#"{"model":"asked"}"#, async {
        assert!(one.requests() > 0);
        one.kill().await;
    })
    .await;
    assert_eq!(got.len(), CONNECTIONS * REQUESTS);
    for got in &got {
        assert_eq!(
            (got.status.as_u16(), got.body.as_deref()),
            (200, Some(&b"ok"[..])),
            "{got:?}"
        );
    }
    assert!(
        gateway.table.servers()[0].endpoints()[0].failures() > 0,
        "nobody noticed"
    );
}

#[tokio::test]
async fn only_streams_that_have_begun_break() {
    let [one, other] = [
        Engine::spawn(Kind::Serves).await,
        Engine::spawn(Kind::Serves).await,
    ];
    let gateway = Gateway::to([one.url(), other.url()], policy()).await;
    let got = load(&gateway, r#"{"model":"asked","stream":true}"#, one.kill()).await;
    assert_eq!(got.len(), CONNECTIONS * REQUESTS);
    assert!(
        got.iter().all(|got| got.status == 200),
        "a stream that had not begun"
    );
    let broken = got.iter().filter(|got| got.body.is_none()).count();
    // No more than there can have been at once; on a slow machine perhaps none.
    assert!(broken <= CONNECTIONS, "{broken}");
    let whole = got.iter().filter_map(|got| got.body.as_deref());
    assert!(whole.into_iter().all(|body| body == b"toktoktoktoktok"));
}
