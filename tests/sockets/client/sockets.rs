//! What the kernel is told about a connection.

use test_kit::{
    socket::{Reply, Upstream},
    time::eventually,
};
use tower_model_route::engine_client;

use super::{post, send};

/// The timer that runs on each established connection to this port, and in how many hundredths of
/// a second it ends: 2 is the one that asks an idle peer whether it is still there (proc(5)).
#[cfg(target_os = "linux")]
fn timers(port: u16) -> Vec<(u8, u32)> {
    let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let lines = connections.lines().skip(1).map(str::split_whitespace);
    lines
        .map(Iterator::collect::<Vec<_>>)
        .filter(|line| line[2].ends_with(&format!(":{port:04X}")) && line[3] == "01")
        .map(|line| {
            let (timer, when) = line[5].split_once(':').unwrap();
            let when = u32::from_str_radix(when, 16).unwrap();
            (timer.parse().unwrap(), when)
        })
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
        matches!(timers[..], [(2, 5_000..=6_000)])
    })
    .await;
    asking.abort();
}
