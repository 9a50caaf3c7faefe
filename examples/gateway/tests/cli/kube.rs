//! `--kube`, by an API server on loopback.

use std::{path::PathBuf, time::Duration};

use axum::{Router, http::StatusCode};
use mock_llm::{Engine, RunningEngine};
use serde_json::{Value, json};
use test_kit::{
    cluster_api::{ClusterApi, model_route, model_server, pod},
    directory::Directory,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use crate::program::{Gateway, header, run_with};

/// A cluster with an API server, and the kubeconfig that leads to it.
struct Api {
    cluster: ClusterApi,
    kubeconfig: PathBuf,
    _directory: Directory,
}

impl Api {
    async fn start() -> Self {
        let cluster = ClusterApi::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback_service(cluster.clone());
        tokio::spawn(axum::serve(listener, app).into_future());
        let directory = Directory::new();
        let kubeconfig = format!(
            "{{apiVersion: v1, kind: Config, current-context: here,
contexts: [{{name: here, context: {{cluster: here, user: me}}}}],
clusters: [{{name: here, cluster: {{server: '{url}'}}}}], users: [{{name: me, user: {{}}}}]}}"
        );
        Self {
            kubeconfig: directory.write("kubeconfig", &kubeconfig),
            cluster,
            _directory: directory,
        }
    }

    /// With the route `chat` to the ModelServer `small`, whose Pod is this engine.
    async fn with(engine: &RunningEngine) -> Self {
        let api = Self::start().await;
        api.cluster.apply(model_route("chat", "chat", "small"));
        api.cluster.apply(at(engine, model_server("small")));
        api.cluster.apply(pod("small-0", "small", "127.0.0.1"));
        api
    }

    /// A gateway that waits for it.
    async fn gateway(&self, args: &[&str]) -> Gateway {
        let args = [&["--admin-listen", "127.0.0.1:0"], args].concat();
        Gateway::start_by_cluster(&self.kubeconfig, &args).await
    }
}

/// The ModelServer whose engines have the port of this one.
fn at(engine: &RunningEngine, mut server: Value) -> Value {
    server["spec"]["workloadPort"]["port"] = engine.addr().port().into();
    server
}

async fn engine() -> RunningEngine {
    let engine = Engine::new("chat").label("small-0");
    engine.spawn().await.unwrap()
}

/// The statuses of `/healthz` and `/readyz`.
async fn health(gateway: &Gateway) -> (u16, u16) {
    let admin = gateway.admin_url();
    (
        gateway.get_at(&admin, "/healthz").await,
        gateway.get_at(&admin, "/readyz").await,
    )
}

async fn is_refused(gateway: &Gateway) -> bool {
    let address = gateway.url().strip_prefix("http://").unwrap();
    TcpStream::connect(address).await.is_err()
}

#[tokio::test]
async fn nothing_is_served_before_everything_is_known() {
    let engine = engine().await;
    let api = Api::with(&engine).await;
    api.cluster.hold("pods");
    let mut gateway = api.gateway(&[]).await;
    assert_eq!(health(&gateway).await, (200, 503));
    assert!(is_refused(&gateway).await);

    api.cluster.release();
    gateway.introduced("Requests:").await;
    assert_eq!(health(&gateway).await, (200, 200));
    let said = &gateway.introduction;
    let row = format!("ml/small      http://{}", engine.addr());
    assert!(said.contains(&row), "{said}");
    let answer = gateway.ask("chat").await;
    assert_eq!(answer.status(), 200, "{}", answer.body());
    assert_eq!(header(&answer, "x-model-route-name"), "ml/chat");
    assert_eq!(header(&answer, "x-mock-engine"), "small-0");
    // What is not on the port of the traffic.
    assert_eq!(gateway.get("/_routes").await, 404);
    assert_eq!(gateway.get("/metrics").await, 404);

    gateway.terminate();
    gateway.until("Stopped.").await;
    assert_eq!(gateway.ended().await, Some(0));
}

#[tokio::test]
async fn what_changes_in_the_cluster_is_followed() {
    let engine = engine().await;
    let api = Api::with(&engine).await;
    let mut gateway = api.gateway(&[]).await;
    gateway.introduced("Requests:").await;
    assert_eq!(gateway.ask("second").await.status(), 404);
    api.cluster.apply(model_route("second", "second", "small"));
    let mut server = at(&engine, model_server("small"));
    server["spec"]["model"] = "chat".into();
    api.cluster.apply(server);
    eventually(async || gateway.ask("second").await.status() == 200).await;
    api.cluster.delete("pods", "ml", "small-0");
    eventually(async || gateway.ask("second").await.status() == 503).await;
}

#[tokio::test]
async fn while_the_api_server_is_away_at_the_start_it_waits() {
    let engine = engine().await;
    let api = Api::with(&engine).await;
    api.cluster.refuse(Some(StatusCode::SERVICE_UNAVAILABLE));
    let mut gateway = api.gateway(&[]).await;
    gateway.introduced("*** not watched").await;
    assert_eq!(health(&gateway).await, (200, 503));
    assert!(is_refused(&gateway).await);
    api.cluster.refuse(None);
    gateway.introduced("Requests:").await;
    assert_eq!(gateway.ask("chat").await.status(), 200);
}

/// Though nothing has changed in the cluster meanwhile.
#[tokio::test]
async fn it_says_that_the_api_server_is_back() {
    let engine = engine().await;
    let api = Api::with(&engine).await;
    let mut gateway = api.gateway(&[]).await;
    gateway.introduced("Requests:").await;
    api.cluster.refuse(Some(StatusCode::FORBIDDEN));
    api.cluster.cut();
    gateway.until("*** not watched").await;
    api.cluster.refuse(None);
    gateway.until("*** watched again").await;
}

#[tokio::test]
async fn and_may_be_stopped() {
    let api = Api::start().await;
    api.cluster.hold("pods");
    let mut gateway = api.gateway(&["--drain-delay", "1h"]).await;
    gateway.terminate();
    gateway.until("Stopped.").await;
    assert_eq!(gateway.ended().await, Some(0));
}

#[tokio::test]
async fn only_what_is_asked_for_is_read() {
    let engine = engine().await;
    let api = Api::with(&engine).await;
    let args = ["--namespace", "ml", "--label-selector", "team=ml"];
    let mut gateway = api.gateway(&args).await;
    gateway.introduced("Requests:").await;
    for asked in api.cluster.requests() {
        let is_known = ["modelroutes", "modelservers", "pods", "endpointslices"]
            .iter()
            .any(|kind| asked.contains(&format!("/namespaces/ml/{kind}?")));
        assert!(asked.starts_with("GET /") && is_known, "{asked}");
        let has_labels = asked.contains("labelSelector=team%3Dml");
        assert_eq!(has_labels, asked.contains("/model"), "{asked}");
    }
}

#[tokio::test]
async fn the_command_line_adds_to_it() {
    let engine = engine().await;
    let api = Api::start().await;
    api.cluster.apply(model_route("chat", "chat", "small"));
    api.cluster.apply(model_server("small"));
    let endpoint = format!("ml/small={}", engine.url());
    let mut gateway = api.gateway(&["--endpoint", &endpoint]).await;
    gateway.introduced("Requests:").await;
    assert_eq!(gateway.ask("chat").await.status(), 200);
}

#[tokio::test]
async fn routes_of_other_gateways_are_left_out() {
    let engine = engine().await;
    let api = Api::with(&engine).await;
    let mut ours = model_route("ours", "ours", "small");
    ours["spec"]["parentRefs"] = json!([{"name": "inference", "namespace": "gateways"}]);
    api.cluster.apply(ours);
    let mut server = at(&engine, model_server("small"));
    server["spec"]["model"] = "chat".into();
    api.cluster.apply(server);
    let mut gateway = api.gateway(&["--gateway-ref", "gateways/inference"]).await;
    gateway.introduced("Requests:").await;
    assert_eq!(gateway.ask("ours").await.status(), 200);
    assert_eq!(gateway.ask("chat").await.status(), 404);
}

#[tokio::test]
async fn errors_become_events_only_if_that_is_asked_for() {
    let mut wrong = model_route("wrong", "wrong", "small");
    wrong["metadata"]["annotations"] = json!({"tower-model-route/without-model": "perhaps"});
    for (flags, told) in [(&["--kube-events"][..], true), (&[], false)] {
        let api = Api::start().await;
        api.cluster.apply(wrong.clone());
        let mut gateway = api.gateway(flags).await;
        gateway.introduced("ModelRoute ml/wrong: error: ").await;
        let writes = || {
            let requests = api.cluster.requests();
            requests.iter().any(|request| !request.starts_with("GET "))
        };
        match told {
            true => eventually(async || writes()).await,
            false => {
                gateway.introduced("Requests:").await;
                assert!(!writes());
            }
        }
    }
}

#[test]
fn without_a_way_to_a_cluster_it_ends_and_says_so() {
    let directory = Directory::new();
    let nowhere = directory.path().join("kubeconfig");
    let nowhere = nowhere.to_str().unwrap();
    let args = ["--kube", "--listen", "127.0.0.1:0"];
    let ended = run_with(args, &[("KUBECONFIG", nowhere)]);
    assert_eq!(ended.code, Some(1));
    let why = "--kube: there is no way to a cluster: ";
    assert!(ended.stderr.starts_with(why), "{}", ended.stderr);
}

#[tokio::test]
async fn what_is_no_gateway_or_namespace_ends_the_start() {
    let api = Api::start().await;
    let kubeconfig = api.kubeconfig.to_str().unwrap();
    for wrong in [["--gateway-ref", "inference"], ["--namespace", "M L"]] {
        let args = [&["--kube", "--listen", "127.0.0.1:0"][..], &wrong].concat();
        let ended = run_with(args, &[("KUBECONFIG", kubeconfig)]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(wrong[1]), "{ended:?}");
    }
}

async fn eventually(is_so: impl AsyncFn() -> bool) {
    let asked = async {
        while !is_so().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), asked).await.unwrap();
}
