//! Two engines, each a process, behind the routing stack: one is killed under load.

use std::process::Stdio;

use test_kit::{socket::Stacked, time::within};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use tower_model_route::TrafficPolicy;

/// An engine in a process of its own, and its URL. It is killed when it is dropped.
async fn engine() -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mock_llm"))
        .args(["--listen", "127.0.0.1:0", "--any-model"])
        .args(["--header-delay-ms", "3"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = within(lines.next_line()).await.unwrap().unwrap();
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let url = line.strip_prefix("Listening on ").expect("it says where");
    (child, url.to_owned())
}

#[tokio::test]
async fn a_process_that_is_killed_is_no_error_either() {
    let ((mut one, first), (_other, second)) = (engine().await, engine().await);
    let policy = TrafficPolicy::new().max_retries(1);
    let gateway = Stacked::over([first, second], policy).await;
    let body = r#"{"model":"asked","messages":[{"role":"user","content":"Hello"}]}"#;
    let kill = async { one.kill().await.unwrap() };
    for got in gateway.load(body, kill).await {
        assert_eq!(got.status(), 200, "{got:?}");
        assert!(got.body.is_ok(), "{got:?}");
    }
    assert!(
        gateway.table.servers()[0].endpoints()[0].failures() > 0,
        "nobody noticed"
    );
}
