#[cfg(feature = "metrics")]
use std::collections::BTreeSet;

use http::StatusCode;
#[cfg(feature = "metrics")]
use metrics_exporter_prometheus::PrometheusBuilder;
use test_kit::cluster_api::{ClusterApi, model_route, pod};
#[cfg(feature = "metrics")]
use tower_model_route::Metrics;
use tower_model_route::RouteTableHandle;

use super::{becomes, chat, quiet, table, watched};

const CHAT: [&str; 2] = ["ml/chat = chat", "ml/chat: 10.0.0.1:8000"];
const MORE: [&str; 2] = ["ml/chat = chat", "ml/chat: 10.0.0.1:8000 10.0.0.2:8000"];

/// While the cluster is as it was, so is the table; then it follows again.
async fn heals(cluster: &ClusterApi, handle: &RouteTableHandle) {
    let reloads = handle.reloads();
    quiet().await;
    assert_eq!(table(handle), CHAT);
    assert_eq!(handle.reloads(), reloads, "nothing has changed");
    cluster.apply(pod("chat-1", "chat", "10.0.0.2"));
    becomes(handle, &MORE).await;
    cluster.delete("pods", "ml", "chat-1");
    becomes(handle, &CHAT).await;
}

#[tokio::test(start_paused = true)]
async fn watches_that_are_lost_are_begun_again() {
    let cluster = chat();
    let (handle, _watch) = watched(&cluster).await;
    cluster.cut();
    heals(&cluster, &handle).await;
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_changes_nothing() {
    let cluster = chat();
    let (handle, _watch) = watched(&cluster).await;
    for status in [
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::TOO_MANY_REQUESTS,
    ] {
        cluster.refuse(Some(status));
        cluster.cut();
        quiet().await;
        assert_eq!(table(&handle), CHAT);
        cluster.refuse(None);
        heals(&cluster, &handle).await;
    }
}

/// For alerts: the table goes on as it was, so nothing else shows it.
#[cfg(feature = "metrics")]
#[tokio::test(start_paused = true)]
async fn a_gauge_says_what_is_not_watched() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let broken = |metrics: &Metrics| {
        metrics::with_local_recorder(&recorder, || metrics.collect());
        let text = recorder.handle().render();
        let lines = text.lines().filter_map(|line| {
            let labels = line.strip_prefix("model_route_watch_error{")?;
            Some(labels.strip_suffix("} 1")?.to_owned())
        });
        lines.collect::<BTreeSet<_>>()
    };
    let cluster = chat();
    let (handle, watch) = watched(&cluster).await;
    let metrics = Metrics::new(&handle);
    assert_eq!(broken(&metrics), BTreeSet::new());
    for ends in [false, true] {
        cluster.refuse(Some(StatusCode::FORBIDDEN));
        cluster.cut();
        quiet().await;
        let kinds = ["modelroutes", "modelservers", "pods"];
        let all = kinds.map(|kind| format!("kind=\"{kind}\",namespace=\"*\""));
        assert_eq!(broken(&metrics), BTreeSet::from(all));
        if ends {
            break;
        }
        cluster.refuse(None);
        heals(&cluster, &handle).await;
        assert_eq!(broken(&metrics), BTreeSet::new());
    }
    // A table that nobody watches is not behind.
    watch.stop().await;
    quiet().await;
    assert_eq!(broken(&metrics), BTreeSet::new());
}

/// What changed meanwhile is seen afterwards.
#[tokio::test(start_paused = true)]
async fn what_was_missed_is_made_up_for() {
    let cluster = chat();
    cluster.apply(pod("chat-1", "chat", "10.0.0.2"));
    let (handle, _watch) = watched(&cluster).await;
    cluster.refuse(Some(StatusCode::SERVICE_UNAVAILABLE));
    cluster.cut();
    cluster.delete("pods", "ml", "chat-1");
    quiet().await;
    assert_eq!(table(&handle), MORE);
    cluster.refuse(None);
    becomes(&handle, &CHAT).await;
}

/// 410 as an event of a watch, and as the answer to one that would go on.
#[tokio::test(start_paused = true)]
async fn a_history_that_is_gone_is_listed_anew() {
    let cluster = chat();
    cluster.apply(pod("chat-1", "chat", "10.0.0.2"));
    let (handle, _watch) = watched(&cluster).await;
    cluster.expire();
    cluster.delete("pods", "ml", "chat-1");
    becomes(&handle, &CHAT).await;
    heals(&cluster, &handle).await;

    cluster.apply(pod("chat-1", "chat", "10.0.0.2"));
    becomes(&handle, &MORE).await;
    cluster.refuse(Some(StatusCode::SERVICE_UNAVAILABLE));
    cluster.cut();
    cluster.delete("pods", "ml", "chat-1");
    cluster.compact();
    quiet().await;
    cluster.refuse(None);
    becomes(&handle, &CHAT).await;
    heals(&cluster, &handle).await;
}

/// Not while it comes, whatever else makes a new table meanwhile.
#[tokio::test(start_paused = true)]
async fn a_list_counts_once_it_is_whole() {
    let cluster = chat();
    let (handle, _watch) = watched(&cluster).await;
    cluster.hold("pods");
    cluster.expire();
    quiet().await;
    cluster.apply(model_route("more", "more", "chat"));
    becomes(&handle, &[CHAT[0], "ml/more = more", CHAT[1]]).await;
    cluster.delete("modelroutes", "ml", "more");
    becomes(&handle, &CHAT).await;
    cluster.release();
    heals(&cluster, &handle).await;
}

/// As behind a proxy that ends each watch at once.
#[tokio::test(start_paused = true)]
async fn watches_that_end_at_once_are_not_begun_in_a_row() {
    let cluster = chat();
    let (handle, _watch) = watched(&cluster).await;
    let before = cluster.requests().len();
    cluster.cut_next(1_000);
    cluster.cut();
    quiet().await;
    let asked = cluster.requests().len() - before;
    assert!(asked < 30, "{asked} requests in 5 s for 3 lists");
    cluster.cut_next(0);
    heals(&cluster, &handle).await;
}

/// As when the way to the API server is lost while it is asked.
#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_is_not_waited_for() {
    for is_paged in [false, true] {
        let cluster = chat();
        if is_paged {
            cluster.only_pages();
        }
        let (handle, _watch) = watched(&cluster).await;
        // Watches, then lists.
        for is_compacted in [false, true] {
            cluster.fall_silent(true);
            if is_compacted {
                cluster.expire();
                cluster.compact();
            } else {
                cluster.cut();
            }
            quiet().await;
            cluster.fall_silent(false);
            heals(&cluster, &handle).await;
        }
    }
}
