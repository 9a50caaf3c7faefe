//! Manifests.

/// A ModelServer without endpoints, whose engines serve `model`.
pub(crate) fn server(name: &str, model: &str) -> String {
    format!(
        "apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: {name}
  namespace: ml
spec:
  model: {model}
  inferenceEngine: vLLM
  workloadPort:
    port: 8000
  workloadSelector: {{matchLabels: {{app: {name}}}}}
---
"
    )
}

/// The ModelServer with an endpoint of its own.
pub(crate) fn at(server: &str, url: &str) -> String {
    let endpoints =
        format!("metadata:\n  annotations: {{tower-model-route/endpoints: '[\"{url}\"]'}}\n");
    server.replace("metadata:\n", &endpoints)
}

/// The ModelServer whose engines get the key K.
pub(crate) fn keyed(server: &str) -> String {
    let header = "annotations: {tower-model-route/headers: 'authorization: Bearer ${K}'}";
    server.replace("metadata:\n", &format!("metadata:\n  {header}\n"))
}

/// A ModelRoute from `model` to a ModelServer.
pub(crate) fn route(model: &str, server: &str) -> String {
    format!(
        "apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata:
  name: {model}
  namespace: ml
spec:
  modelName: {model}
  rules:
  - name: all
    targetModels:
    - modelServerName: {server}
---
"
    )
}

/// The ModelRoute with this `rateLimit`.
pub(crate) fn limited(route: &str, limit: &str) -> String {
    route.replace("spec:\n", &format!("spec:\n  rateLimit: {limit}\n"))
}
