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
