//! A ModelServer that names a Service has the endpoints of its EndpointSlices.

use serde_json::{Value, json};
use test_kit::kube::{route, server, shared};

use crate::watched::Watched;

fn slice(name: &str, service: &str, endpoints: Value) -> Value {
    json!({
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8000}],
    })
}

#[tokio::test]
async fn slices_come_change_and_go() {
    let Some(cluster) = shared().await else {
        return;
    };
    let space = cluster.namespace().await;
    let watched = Watched::of(&space).await;
    let mut by_service = server("server", "none", 8000);
    by_service["metadata"]["annotations"] = json!({"tower-model-route/service": "engines"});
    by_service["spec"]["workloadSelector"] = json!({});
    space.apply(by_service).await;
    space.apply(route("route", "model", "server")).await;
    let name = format!("{}/server", space.name);
    let ready = |address: &str, ready: bool| json!({"addresses": [address], "conditions": {"ready": ready}});

    let two = json!([ready("10.1.0.1", true), ready("10.1.0.2", false)]);
    space.apply(slice("one", "engines", two)).await;
    space
        .apply(slice("two", "others", json!([ready("10.1.0.8", true)])))
        .await;
    watched.has(&name, &["http://10.1.0.1:8000"]).await;
    let two = json!([ready("10.1.0.1", true), ready("10.1.0.2", true)]);
    space.apply(slice("one", "engines", two)).await;
    let both = ["http://10.1.0.1:8000", "http://10.1.0.2:8000"];
    watched.has(&name, &both).await;
    space
        .apply(slice("three", "engines", json!([ready("10.1.0.3", true)])))
        .await;
    space.delete("EndpointSlice", "one").await;
    watched.has(&name, &["http://10.1.0.3:8000"]).await;
    space.delete("EndpointSlice", "three").await;
    watched.has(&name, &[]).await;
}
