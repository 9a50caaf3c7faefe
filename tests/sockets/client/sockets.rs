//! What the kernel is told about a connection.

use test_kit::{
    socket::{Reply, Upstream},
    time::eventually,
};
use tower_model_route::engine_client;

use super::{post, send};

/// The timer that runs on each established connection to this port: 2 is the one that asks an
/// idle peer whether it is still there (proc(5)).
fn timers(port: u16) -> Vec<String> {
    let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let lines = connections.lines().skip(1).map(str::split_whitespace);
    lines
        .map(Iterator::collect::<Vec<_>>)
        .filter(|line| line[2].ends_with(&format!(":{port:04X}")) && line[3] == "01")
        .map(|line| line[5].to_owned())
        .collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_silent_peer_is_asked_whether_it_is_there() {
    let engine = Upstream::start(|_| Reply::hang()).await;
    let port = engine.address().port();
    let asking = tokio::spawn({
        let url = engine.url();
        async move { send(&engine_client(), post(&url)).await.is_ok() }
    });
    eventually(|| {
        let timers = timers(port);
        timers.len() == 1 && timers[0].starts_with("02:")
    })
    .await;
    asking.abort();
}
