//! A cluster's resources, over the API of a cluster without a network and under a paused clock.

mod at_most_a_second_behind;
mod errors_empty_nothing;
mod event_objects;
mod lists_are_streamed_or_paged;
mod namespaces_and_labels;
mod objects_fail_alone;
mod ready_when_lists_are_in;
mod table_follows_the_cluster;

use std::time::Duration;

use kube::Client;
use test_kit::cluster_api::{ClusterApi, model_route, model_server, pod};
use tower_model_route::{
    RouteTable, RouteTableHandle,
    kube::{Watch, WatchHandle},
};

/// A route and a ModelServer `chat`, and its Pod `chat-0` at 10.0.0.1.
fn chat() -> ClusterApi {
    let cluster = ClusterApi::new();
    cluster.apply(model_route("chat", "chat", "chat"));
    cluster.apply(model_server("chat"));
    cluster.apply(pod("chat-0", "chat", "10.0.0.1"));
    cluster
}

fn empty() -> RouteTableHandle {
    RouteTableHandle::new(RouteTable::builder().build().unwrap())
}

fn client(cluster: &ClusterApi) -> Client {
    Client::new(cluster.clone(), "default")
}

fn watch(cluster: &ClusterApi) -> Watch {
    Watch::new(client(cluster))
}

/// With the first table.
async fn watched(cluster: &ClusterApi) -> (RouteTableHandle, WatchHandle) {
    let handle = empty();
    let watch = watch(cluster).start(&handle).unwrap();
    watch.ready().await;
    (handle, watch)
}

/// Routes with their models, then ModelServers with their endpoints.
fn table(handle: &RouteTableHandle) -> Vec<String> {
    let table = handle.table();
    let routes = table.config().get_model_routes().iter();
    let routes = routes.map(|route| {
        format!(
            "{} = {}",
            route.get_name(),
            route.get_model_name().unwrap_or_default()
        )
    });
    let servers = table.servers().into_iter().map(|server| {
        let endpoints = server.endpoints().iter();
        let hosts =
            endpoints.map(|endpoint| endpoint.uri().trim_start_matches("http://").to_owned());
        format!("{}: {}", server.name(), hosts.collect::<Vec<_>>().join(" "))
    });
    routes.chain(servers).collect()
}

/// In so many minutes of the clock, which take no time, a lot is tried again.
async fn eventually(mut is: impl FnMut() -> bool) -> bool {
    for _ in 0..1_000 {
        if is() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    is()
}

/// The table becomes this.
async fn becomes(handle: &RouteTableHandle, expected: &[&str]) {
    eventually(|| table(handle) == expected).await;
    assert_eq!(table(handle), expected);
}

/// Whatever goes on, it is finished after so long.
async fn quiet() {
    tokio::time::sleep(Duration::from_secs(5)).await;
}
