use http::StatusCode;
use serde_json::json;
use test_kit::cluster_api::{ClusterApi, model_route, pod};

use super::{chat, empty, eventually, quiet, table, watch};

fn written(cluster: &ClusterApi) -> Vec<String> {
    let requests = cluster.requests().into_iter();
    requests.filter(|it| !it.starts_with("GET")).collect()
}

fn bad() -> serde_json::Value {
    let mut route = model_route("bad", "bad", "chat");
    route["spec"]["rules"] = json!([]);
    route
}

#[tokio::test(start_paused = true)]
async fn an_error_in_an_object_is_an_event_of_it_once() {
    let cluster = chat();
    cluster.apply(bad());
    let handle = empty();
    let watch = watch(&cluster).events(true).start(&handle).unwrap();
    watch.ready().await;
    assert!(eventually(|| !written(&cluster).is_empty()).await);
    cluster.apply(pod("chat-1", "chat", "10.0.0.2"));
    quiet().await;
    assert_eq!(
        written(&cluster),
        ["POST /apis/events.k8s.io/v1/namespaces/ml/events?"]
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_unasked() {
    let cluster = chat();
    cluster.apply(bad());
    let handle = empty();
    let watch = watch(&cluster).start(&handle).unwrap();
    watch.ready().await;
    quiet().await;
    assert!(handle.last_error().is_some());
    assert_eq!(written(&cluster), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn one_that_may_not_be_written_holds_up_nothing() {
    let cluster = chat();
    let handle = empty();
    let watch = watch(&cluster).events(true).start(&handle).unwrap();
    watch.ready().await;
    cluster.refuse(Some(StatusCode::FORBIDDEN));
    cluster.apply(bad());
    assert!(eventually(|| !written(&cluster).is_empty()).await);
    cluster.refuse(None);
    cluster.apply(model_route("good", "good", "chat"));
    assert!(eventually(|| table(&handle).len() == 3).await);
}
