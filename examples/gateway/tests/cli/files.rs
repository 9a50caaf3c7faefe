//! Manifests in directories of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

/// A directory that is removed in the end.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tower-model-route-cli-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file as a whole.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let (new, path) = (self.0.join(".new"), self.0.join(name));
        fs::write(&new, text).unwrap();
        fs::rename(&new, &path).unwrap();
        path
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

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
