use serde_json::{Value, json};
use test_kit::cluster_api::{model_route, pod};

use super::{chat, empty, table, watch};

fn within(namespace: &str, mut object: Value) -> Value {
    object["metadata"]["namespace"] = json!(namespace);
    object
}

#[tokio::test(start_paused = true)]
async fn only_the_namespaces_that_are_named_are_asked_for() {
    let cluster = chat();
    cluster.apply(within("other", model_route("far", "far", "chat")));
    cluster.apply(within("b", model_route("near", "near", "chat")));
    let handle = empty();
    let watch = watch(&cluster).namespaces(["ml"]).namespaces(["b", "ml"]);
    let watch = watch.start(&handle).unwrap();
    watch.ready().await;
    assert_eq!(
        table(&handle),
        [
            "b/near = near",
            "ml/chat = chat",
            "ml/chat: 10.0.0.1:8000",
            "b/chat: "
        ]
    );
    let requests = cluster.requests();
    assert_eq!(requests.len(), 6, "{requests:#?}");
    let named = |it: &&String| it.contains("/namespaces/b/") || it.contains("/namespaces/ml/");
    assert_eq!(requests.iter().filter(named).count(), 6, "{requests:#?}");
}

/// The selector is the API server's matter; Pods are those of their ModelServers.
#[tokio::test(start_paused = true)]
async fn labels_select_routes_and_servers() {
    let cluster = chat();
    cluster.apply(pod("chat-1", "chat", "10.0.0.2"));
    let handle = empty();
    let watch = watch(&cluster).label_selector("team=ml");
    let watch = watch.start(&handle).unwrap();
    watch.ready().await;
    for request in cluster.requests() {
        let has_selector = request.contains("labelSelector=team%3Dml");
        assert_eq!(has_selector, !request.contains("/pods"), "{request}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_has_its_routes() {
    let cluster = chat();
    let mut route = model_route("near", "near", "chat");
    route["spec"]["parentRefs"] = json!([{"name": "inference", "namespace": "gateways"}]);
    cluster.apply(route);
    let handle = empty();
    let watch = watch(&cluster).gateway("gateways/inference");
    let watch = watch.start(&handle).unwrap();
    watch.ready().await;
    assert_eq!(table(&handle), ["ml/near = near", "ml/chat: 10.0.0.1:8000"]);
}
