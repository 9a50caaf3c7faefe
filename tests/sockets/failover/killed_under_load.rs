//! One of two engines is killed in the middle of load.

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use test_kit::{answer::Answer, time::within};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::JoinSet,
};
use tower_model_route::TrafficPolicy;

use super::{engine::healthy, gateway::Gateway};

const CONNECTIONS: usize = 64;
const REQUESTS: usize = 20;

/// Asks on many connections; `kill` comes when a third of it is done.
async fn load(
    gateway: &Gateway,
    body: &'static str,
    kill: impl Future<Output = ()>,
) -> Vec<Answer> {
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
    let [one, other] = [healthy().await, healthy().await];
    let gateway = Gateway::to([one.url(), other.url()], policy()).await;
    let got = load(&gateway, r#"{"model":"asked"}"#, async {
        assert!(one.requests() > 0);
        one.kill().await;
    })
    .await;
    assert_eq!(got.len(), CONNECTIONS * REQUESTS);
    for got in &got {
        assert_eq!(
            (got.status().as_u16(), got.body.as_deref().ok()),
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
    let [one, other] = [healthy().await, healthy().await];
    let gateway = Gateway::to([one.url(), other.url()], policy()).await;
    let got = load(&gateway, r#"{"model":"asked","stream":true}"#, one.kill()).await;
    assert_eq!(got.len(), CONNECTIONS * REQUESTS);
    assert!(
        got.iter().all(|got| got.status() == 200),
        "a stream that had not begun"
    );
    let broken = got.iter().filter(|got| got.body.is_err()).count();
    // No more than there can have been at once; on a slow machine perhaps none.
    assert!(broken <= CONNECTIONS, "{broken}");
    let whole = got.iter().filter_map(|got| got.body.as_deref().ok());
    assert!(whole.into_iter().all(|body| body == b"toktoktoktoktok"));
}

/// The example's engine in a process of its own; `cargo test` builds it, `cargo test --test` does not.
async fn process() -> (Child, String) {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples/mock_llm");
    let mut child = Command::new(path)
        .args([
            "--listen",
            "127.0.0.1:0",
            "--any-model",
            "--header-delay-ms",
            "3",
        ])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the engine runs; is it built? cargo build --example mock_llm");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = within(lines.next_line()).await.unwrap().unwrap();
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let url = line.strip_prefix("Listening on ").expect("it says where");
    (child, url.to_owned())
}

#[tokio::test]
async fn a_process_that_is_killed_is_no_error_either() {
    let ((mut one, first), (_other, second)) = (process().await, process().await);
    let gateway = Gateway::to([first, second], policy()).await;
    let got = load(
        &gateway,
        r#"{"model":"asked","messages":[{"role":"user","content":"Hello"}]}"#,
        async {
            one.kill().await.unwrap();
        },
    )
    .await;
    for got in &got {
        assert_eq!(got.status(), 200, "{got:?}");
        assert!(got.body.is_ok());
    }
    assert!(
        gateway.table.servers()[0].endpoints()[0].failures() > 0,
        "nobody noticed"
    );
}
