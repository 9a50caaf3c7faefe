//! ModelRoutes and ModelServers as JSON, without a version and a namespace.

use serde_json::{Value, json};

/// A ModelRoute of one model to one ModelServer.
pub fn route(name: &str, model: &str, server: &str) -> Value {
    json!({
        "kind": "ModelRoute",
        "metadata": {"name": name},
        "spec": {"modelName": model, "rules": [{"targetModels": [{"modelServerName": server}]}]},
    })
}

/// A ModelServer of the Pods with the label `app`.
pub fn server(name: &str, app: &str, port: u16) -> Value {
    json!({
        "kind": "ModelServer",
        "metadata": {"name": name},
        "spec": {
            "inferenceEngine": "vLLM",
            "workloadSelector": {"matchLabels": {"app": app}},
            "workloadPort": {"port": port},
        },
    })
}
