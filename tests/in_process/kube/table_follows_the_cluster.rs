use serde_json::json;
use test_kit::cluster_api::{model_route, model_server, pod};

use super::{becomes, chat, quiet, table, watched};

#[tokio::test(start_paused = true)]
async fn objects_come_change_and_go() {
    let cluster = chat();
    let (handle, _watch) = watched(&cluster).await;
    assert_eq!(table(&handle), ["ml/chat = chat", "ml/chat: 10.0.0.1:8000"]);

    cluster.apply(model_server("code"));
    cluster.apply(pod("code-0", "code", "fd00::7"));
    cluster.apply(model_route("code", "code", "code"));
    let both = [
        "ml/chat = chat",
        "ml/code = code",
        "ml/chat: 10.0.0.1:8000",
        "ml/code: [fd00::7]:8000",
    ];
    becomes(&handle, &both).await;

    cluster.apply(model_route("code", "coder", "code"));
    let mut server = model_server("code");
    server["spec"]["workloadPort"]["port"] = json!(9000);
    cluster.apply(server);
    let changed = [
        both[0],
        "ml/code = coder",
        both[2],
        "ml/code: [fd00::7]:9000",
    ];
    becomes(&handle, &changed).await;

    cluster.delete("modelroutes", "ml", "code");
    becomes(&handle, &[changed[0], changed[2], changed[3]]).await;
    cluster.delete("pods", "ml", "code-0");
    becomes(&handle, &[changed[0], changed[2], "ml/code: "]).await;
    cluster.delete("modelservers", "ml", "code");
    becomes(&handle, &[changed[0], changed[2]]).await;
}

/// The last one goes as well: an empty list is no error.
#[tokio::test(start_paused = true)]
async fn the_last_route_can_go() {
    let cluster = chat();
    let (handle, _watch) = watched(&cluster).await;
    cluster.delete("modelroutes", "ml", "chat");
    becomes(&handle, &["ml/chat: 10.0.0.1:8000"]).await;
}

#[tokio::test(start_paused = true)]
async fn pods_count_while_they_run_are_ready_and_stay() {
    let with = ["ml/chat = chat", "ml/chat: 10.0.0.1:8000 10.0.0.2:8000"];
    let without = ["ml/chat = chat", "ml/chat: 10.0.0.1:8000"];
    let cluster = chat();
    let ready = pod("chat-1", "chat", "10.0.0.2");
    cluster.apply(ready.clone());
    let (handle, _watch) = watched(&cluster).await;
    becomes(&handle, &with).await;

    let changed = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut pod = ready.clone();
        change(&mut pod);
        pod
    };
    let others = [
        changed(&|pod| pod["status"]["conditions"][1]["status"] = json!("False")),
        changed(&|pod| pod["status"]["conditions"] = json!([])),
        changed(&|pod| pod["status"]["phase"] = json!("Failed")),
        changed(&|pod| pod["status"]["phase"] = json!("Pending")),
        changed(&|pod| pod["metadata"]["deletionTimestamp"] = json!("2026-11-29T10:00:00Z")),
        changed(&|pod| pod["metadata"]["labels"] = json!({"app": "other"})),
    ];
    for other in others {
        cluster.apply(other);
        becomes(&handle, &without).await;
        cluster.apply(ready.clone());
        becomes(&handle, &with).await;
    }
    cluster.delete("pods", "ml", "chat-1");
    becomes(&handle, &without).await;
}

/// A Pod of the same labels in another namespace is another team's.
#[tokio::test(start_paused = true)]
async fn pods_serve_their_own_namespace() {
    let cluster = chat();
    let mut foreign = pod("chat-1", "chat", "10.0.0.2");
    foreign["metadata"]["namespace"] = json!("other");
    cluster.apply(foreign);
    let (handle, _watch) = watched(&cluster).await;
    assert_eq!(table(&handle), ["ml/chat = chat", "ml/chat: 10.0.0.1:8000"]);
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_difference_makes_no_table() {
    let cluster = chat();
    let (handle, _watch) = watched(&cluster).await;
    quiet().await;
    let before = handle.reloads();

    let mut pod = pod("chat-0", "chat", "10.0.0.1");
    pod["status"]["conditions"][1]["lastProbeTime"] = json!("2026-11-29T11:00:00Z");
    pod["metadata"]["annotations"] = json!({"seen": "again"});
    cluster.apply(pod);
    let mut route = model_route("chat", "chat", "chat");
    route["status"] = json!({"conditions": [{"type": "Accepted"}]});
    route["metadata"]["annotations"] = json!({"team": "ml"});
    cluster.apply(route);
    quiet().await;
    assert_eq!(handle.reloads(), before);
}

#[tokio::test(start_paused = true)]
async fn nothing_follows_once_the_watch_has_stopped() {
    let cluster = chat();
    let (handle, watch) = watched(&cluster).await;
    watch.stop().await;
    cluster.delete("pods", "ml", "chat-0");
    quiet().await;
    assert_eq!(table(&handle), ["ml/chat = chat", "ml/chat: 10.0.0.1:8000"]);
}

fn slice(name: &str, service: &str, addresses: &[&str]) -> serde_json::Value {
    let endpoints = addresses.iter().map(
        |address| json!({"addresses": [address], "conditions": {"ready": true}, "zone": "eu-1a"}),
    );
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "namespace": "ml", "name": name, "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "endpoints": endpoints.collect::<Vec<_>>(), "ports": [{"port": 9000}],
    })
}

/// Slices are many in a large cluster: they are not asked for before a ModelServer needs them.
#[tokio::test(start_paused = true)]
async fn slices_count_where_a_model_server_names_their_service() {
    let cluster = chat();
    cluster.apply(slice("engines-x7", "engines", &["10.0.1.1"]));
    let (handle, _watch) = watched(&cluster).await;
    let asks = || {
        cluster
            .requests()
            .iter()
            .any(|it| it.contains("endpointslices"))
    };
    assert!(!asks());

    let mut server = model_server("code");
    server["metadata"]["annotations"] = json!({"tower-model-route/service": "engines"});
    server["spec"]["workloadSelector"] = json!(null);
    cluster.apply(server);
    let with = [
        "ml/chat = chat",
        "ml/chat: 10.0.0.1:8000",
        "ml/code: 10.0.1.1:8000",
    ];
    becomes(&handle, &with).await;
    cluster.apply(slice("engines-x8", "engines", &["10.0.1.2"]));
    cluster.apply(slice("others-x1", "others", &["10.0.1.3"]));
    becomes(
        &handle,
        &[with[0], with[1], "ml/code: 10.0.1.1:8000 10.0.1.2:8000"],
    )
    .await;
    cluster.delete("endpointslices", "ml", "engines-x7");
    becomes(&handle, &[with[0], with[1], "ml/code: 10.0.1.2:8000"]).await;
}
