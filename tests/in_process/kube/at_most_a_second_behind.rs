use std::time::Duration;

use test_kit::cluster_api::pod;
use tokio::time::sleep;

use super::{chat, quiet, watched};

const TICK: Duration = Duration::from_millis(20);

#[tokio::test(start_paused = true)]
async fn a_burst_of_changes_is_one_table() {
    let cluster = chat();
    let (handle, _watch) = watched(&cluster).await;
    quiet().await;
    let (before, _) = handle.reloads();
    for i in 1..20 {
        cluster.apply(pod(&format!("chat-{i}"), "chat", &format!("10.0.1.{i}")));
        sleep(TICK).await;
    }
    assert_eq!(handle.reloads().0, before, "not while it goes on");
    quiet().await;
    assert_eq!(handle.reloads().0, before + 1);
    assert_eq!(handle.table().servers()[0].endpoints().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn changes_that_never_stop_are_seen_within_a_second() {
    let cluster = chat();
    let (handle, _watch) = watched(&cluster).await;
    quiet().await;
    let (before, _) = handle.reloads();
    for i in 0..200 {
        cluster.apply(pod("chat-1", "chat", &format!("10.0.1.{i}")));
        sleep(TICK).await;
    }
    // Four seconds.
    let reloads = handle.reloads().0 - before;
    assert!((3..=5).contains(&reloads), "{reloads}");
}
