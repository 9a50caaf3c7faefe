//! Manifests: reading 1,000 ModelRoutes with 1,000 ModelServers, making the table, and back.
//!
//! `cargo bench --bench manifest`
#![allow(missing_docs)]

use std::{fmt::Write, hint::black_box};

use criterion::{Criterion, criterion_group, criterion_main};
use tower_model_route::manifest::Manifests;

const COUNT: usize = 1_000;

/// Manifests as they come out of a cluster: with times, labels and a policy.
fn manifests() -> String {
    let mut out = String::new();
    for i in 0..COUNT {
        let _ = write!(
            out,
            r#"---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: server-{i}
  namespace: team-{team}
  creationTimestamp: "2025-03-01T09:30:00Z"
  resourceVersion: "{i}"
  labels:
    team: "{team}"
spec:
  model: organisation/Model-{i}
  inferenceEngine: vLLM
  endpoints:
  - name: a
    address: 10.0.0.1
    port: 8000
  - name: b
    address: 10.0.0.2
    port: 8000
  trafficPolicy:
    timeout: 30s
    retry:
      attempts: 2
      retryInterval: 100ms
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata:
  name: route-{i}
  namespace: team-{team}
  creationTimestamp: "2025-03-01T09:30:00Z"
  resourceVersion: "{i}"
spec:
  modelName: model-{i}
  loraAdapters:
  - adapter-{i}
  rules:
  - name: premium
    modelMatch:
      headers:
        user-type:
          exact: premium
      uri:
        prefix: /v1/
    targetModels:
    - modelServerName: server-{i}
      weight: 100
  - name: default
    targetModels:
    - modelServerName: server-{i}
"#,
            team = i % 10,
        );
    }
    out
}

fn load(c: &mut Criterion) {
    let yaml = manifests();
    let mut group = c.benchmark_group("manifest");
    group.sample_size(10);
    group.bench_function("read_and_build", |b| {
        b.iter(|| Manifests::from_yaml(black_box(&yaml)).build().is_ok());
    });
    group.bench_function("check", |b| {
        b.iter(|| Manifests::from_yaml(black_box(&yaml)).check().has_errors());
    });
    let table = Manifests::from_yaml(&yaml).build().expect("valid");
    group.bench_function("to_yaml", |b| {
        b.iter(|| black_box(&table).to_yaml().len());
    });
    group.finish();
}

criterion_group!(benches, load);
criterion_main!(benches);
