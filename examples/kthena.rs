//! Kthena's manifests: the ModelRoutes and ModelServers of a cluster, without the cluster.
//!
//! ```text
//! cargo run -p mock_llm -- --any-model              # an engine on 127.0.0.1:8000
//! cargo run --example kthena --features manifest    # the gateway on 127.0.0.1:8080
//! ```
//!
//! Then try the curl lines that it prints. Other addresses:
//! `cargo run --example kthena --features manifest -- 0.0.0.0:8080 http://10.0.0.7:8000`.

use std::env;

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tower_model_route::{engine_client, manifest::Manifests, stack};

const MANIFESTS: &str = r#"
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata: {name: llama, namespace: default}
spec:
  model: meta-llama/Llama-3.1-8B-Instruct
  inferenceEngine: vLLM
  workloadSelector: {matchLabels: {app: llama}}
  workloadPort: {port: 8000}
  trafficPolicy:
    timeout: 30s
    retry: {attempts: 1}
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata: {name: llama, namespace: default}
spec:
  modelName: llama
  loraAdapters: [llama-sql]
  rules:
  - name: all
    targetModels:
    - modelServerName: llama
"#;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = env::args().skip(1);
    let listen = args.next().unwrap_or("127.0.0.1:8080".to_owned());
    let engine = args.next().unwrap_or("http://127.0.0.1:8000".to_owned());

    // `Manifests::from_path` reads a file or a directory. Outside of a cluster the labels
    // select no Pods, so the endpoints are added by name.
    let manifests = Manifests::from_yaml(MANIFESTS).endpoints("default/llama", [engine]);
    for warning in manifests.check().warnings() {
        eprintln!("{warning}");
    }
    let table = manifests.build()?;
    let client = engine_client();
    let app = Router::new().fallback_service(stack(table).service(client));

    let listener = TcpListener::bind(&listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let url = format!("http://{}", listener.local_addr()?);
    for model in ["llama", "llama-sql"] {
        let body = format!(r#"{{"model": "{model}", "prompt": "Hello"}}"#);
        println!("curl {url}/v1/completions --json '{body}'");
    }
    axum::serve(listener, app).await?;
    Ok(())
}
