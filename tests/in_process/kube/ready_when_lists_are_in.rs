use http::StatusCode;
use serde_json::json;
use test_kit::cluster_api::ClusterApi;
use tower_model_route::kube::Watch;

use super::{chat, client, empty, quiet, table, watch};

#[tokio::test(start_paused = true)]
async fn nothing_is_served_of_some_of_the_lists() {
    for held in ["modelroutes", "modelservers", "pods"] {
        let cluster = chat();
        cluster.hold(held);
        let handle = empty();
        let watch = watch(&cluster).start(&handle).unwrap();
        quiet().await;
        assert!(!watch.is_ready(), "without {held}");
        assert_eq!(table(&handle), [""; 0], "without {held}");

        cluster.release();
        watch.ready().await;
        assert!(watch.is_ready());
        assert_eq!(table(&handle), ["ml/chat = chat", "ml/chat: 10.0.0.1:8000"]);
    }
}

/// Which of them are needed is known only when the ModelServers are.
#[tokio::test(start_paused = true)]
async fn slices_that_are_needed_are_waited_for() {
    let cluster = chat();
    let mut server = test_kit::cluster_api::model_server("chat");
    server["metadata"]["annotations"] = json!({"tower-model-route/service": "engines"});
    cluster.apply(server);
    cluster.hold("endpointslices");
    let handle = empty();
    let watch = watch(&cluster).start(&handle).unwrap();
    quiet().await;
    assert!(!watch.is_ready());
    cluster.release();
    watch.ready().await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_cluster_is_ready_too() {
    let handle = empty();
    let watch = watch(&ClusterApi::new()).start(&handle).unwrap();
    watch.ready().await;
    assert_eq!(table(&handle), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_at_first_is_waited_for() {
    let cluster = chat();
    cluster.refuse(Some(StatusCode::SERVICE_UNAVAILABLE));
    let handle = empty();
    let watch = watch(&cluster).start(&handle).unwrap();
    quiet().await;
    assert!(!watch.is_ready());
    cluster.refuse(None);
    watch.ready().await;
    assert_eq!(table(&handle), ["ml/chat = chat", "ml/chat: 10.0.0.1:8000"]);
}

#[test]
fn a_watch_needs_a_runtime_and_namespaces_that_are_some() {
    let runtime = test_kit::paused::runtime();
    let client = runtime.block_on(async { client(&ClusterApi::new()) });
    let handle = empty();
    let error = Watch::new(client.clone()).start(&handle).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the cluster can't be watched: there is no Tokio runtime here to watch in"
    );
    runtime.block_on(async {
        let watch = Watch::new(client).namespaces(["ml", "../pods"]);
        let error = watch.start(&handle).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the cluster can't be watched: \"../pods\" is not the name of a namespace"
        );
        let watch = Watch::new(super::client(&ClusterApi::new())).gateway("inference");
        let error = watch.start(&handle).unwrap_err().to_string();
        assert!(error.contains("\"inference\""), "{error}");
    });
}
