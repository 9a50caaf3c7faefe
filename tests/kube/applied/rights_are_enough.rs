//! The roles in `examples/kubernetes` allow what is needed, and nothing else.

use std::collections::BTreeSet;

use kube::{Client, Error};
use serde_json::Value;
use test_kit::kube::{Cluster, Namespace, documents, shared};

const SERVICE_ACCOUNT: &str = include_str!("../../../examples/kubernetes/service-account.yaml");
const CLUSTER_ROLE: &str = include_str!("../../../examples/kubernetes/cluster-role.yaml");
const ROLE: &str = include_str!("../../../examples/kubernetes/role.yaml");
const EVENTS: &str = include_str!("../../../examples/kubernetes/events.yaml");

const READ: [&str; 4] = ["ModelRoute", "ModelServer", "Pod", "EndpointSlice"];
const READ_RIGHTS: [&str; 4] = [
    "discovery.k8s.io/endpointslices: list watch",
    "networking.serving.volcano.sh/modelroutes: list watch",
    "networking.serving.volcano.sh/modelservers: list watch",
    "/pods: list watch",
];

/// Applies files with the gateway in `gateway` and the engines in `engines`; whoever has the
/// gateway's token.
async fn applied(
    cluster: &Cluster,
    gateway: &Namespace,
    engines: &Namespace,
    files: &[&str],
) -> Client {
    for file in files {
        let file = file
            .replace(
                "namespace: model-route",
                &format!("namespace: {}", gateway.name),
            )
            .replace("namespace: ml", &format!("namespace: {}", engines.name))
            // Other tests have roles of their own.
            .replace(
                "name: model-route-gateway",
                &format!("name: {}", gateway.name),
            );
        for (object, _) in documents(&file) {
            gateway.apply(object).await;
        }
    }
    cluster.client_of(&gateway.token("gateway").await).await
}

fn is_forbidden<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Api(status)) if status.code == 403)
}

/// `GROUP/RESOURCE: VERBS` of each.
async fn rights(space: &Namespace) -> BTreeSet<String> {
    let texts = |rule: &Value, key: &str| -> Vec<String> {
        let texts = rule[key].as_array().unwrap().iter();
        texts
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()
    };
    let mut rights = BTreeSet::new();
    for rule in space.rights().await {
        assert!(rule["resourceNames"].is_null(), "{rule}");
        let verbs = texts(&rule, "verbs").join(" ");
        for group in texts(&rule, "apiGroups") {
            for resource in texts(&rule, "resources") {
                rights.insert(format!("{group}/{resource}: {verbs}"));
            }
        }
    }
    rights
}

fn set(rights: &[&str]) -> BTreeSet<String> {
    rights.iter().map(|&right| right.to_owned()).collect()
}

#[tokio::test]
async fn in_the_whole_cluster() {
    let Some(cluster) = shared().await else {
        return;
    };
    let (gateway, engines) = (cluster.namespace().await, cluster.namespace().await);
    let before = applied(cluster, &gateway, &engines, &[SERVICE_ACCOUNT]).await;
    for kind in READ {
        let seen = engines.as_seen_by(before.clone());
        assert!(is_forbidden(seen.list(kind).await), "{kind}");
    }
    let client = applied(cluster, &gateway, &engines, &[CLUSTER_ROLE]).await;
    let seen = engines.as_seen_by(client);
    for kind in READ {
        seen.list(kind).await.unwrap();
        seen.watch(kind).await.unwrap();
    }
    for kind in ["Secret", "ConfigMap", "Service", "Event", "Deployment"] {
        assert!(is_forbidden(seen.list(kind).await), "{kind}");
    }
    assert_eq!(rights(&seen).await, set(&READ_RIGHTS));
}

#[tokio::test]
async fn in_single_namespaces() {
    let Some(cluster) = shared().await else {
        return;
    };
    let (gateway, engines) = (cluster.namespace().await, cluster.namespace().await);
    let files = [SERVICE_ACCOUNT, ROLE];
    let client = applied(cluster, &gateway, &engines, &files).await;
    let seen = engines.as_seen_by(client.clone());
    for kind in READ {
        seen.list(kind).await.unwrap();
        seen.watch(kind).await.unwrap();
    }
    assert_eq!(rights(&seen).await, set(&READ_RIGHTS));
    // Nothing elsewhere, not even where it runs.
    assert_eq!(rights(&gateway.as_seen_by(client)).await, set(&[]));
}

#[tokio::test]
async fn events_are_all_that_can_be_written() {
    let Some(cluster) = shared().await else {
        return;
    };
    let (gateway, engines) = (cluster.namespace().await, cluster.namespace().await);
    let files = [SERVICE_ACCOUNT, EVENTS];
    let client = applied(cluster, &gateway, &engines, &files).await;
    let rights = rights(&engines.as_seen_by(client)).await;
    assert_eq!(rights, set(&["events.k8s.io/events: create patch"]));
}
