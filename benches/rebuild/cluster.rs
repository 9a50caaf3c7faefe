//! The objects of a cluster, generated.

use std::fmt::Write;

use tower_model_route::manifest::Manifests;

const TEAMS: usize = 10;

/// So many objects of each kind.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) routes: usize,
    /// More than [`TEAMS`]: a route has two of one team.
    pub(crate) servers: usize,
    pub(crate) pods: usize,
    /// Of so many routes one is wrong: every other by a weight, which is seen when it is read, the
    /// others by a pattern, which is seen when the table is made. 0 for none.
    pub(crate) wrong: usize,
}

/// The objects as they were read; one route and one Pod apart, to be changed.
pub(crate) struct Cluster {
    pub(crate) sizes: Sizes,
    pub(crate) yaml_bytes: usize,
    others: Manifests,
    route: Manifests,
    pod: Manifests,
}

impl Cluster {
    pub(crate) fn new(sizes: Sizes) -> Self {
        let mut yaml = String::new();
        (0..sizes.servers).for_each(|server| self::server(&mut yaml, server));
        (1..sizes.routes).for_each(|route| self::route(&mut yaml, route, &sizes, 0));
        (1..sizes.pods).for_each(|pod| self::pod(&mut yaml, pod, &sizes, true));
        let mut cluster = Self {
            sizes,
            yaml_bytes: yaml.len(),
            others: Manifests::from_yaml(&yaml).lenient(),
            route: Manifests::new(),
            pod: Manifests::new(),
        };
        cluster.change_route(0);
        cluster.change_pod(true);
        cluster
    }

    /// A team changes the headers by which its route goes.
    pub(crate) fn change_route(&mut self, version: usize) {
        let mut yaml = String::new();
        route(&mut yaml, 0, &self.sizes, version);
        self.route = Manifests::from_yaml(&yaml);
    }

    pub(crate) fn change_pod(&mut self, is_ready: bool) {
        let mut yaml = String::new();
        pod(&mut yaml, 0, &self.sizes, is_ready);
        self.pod = Manifests::from_yaml(&yaml);
    }

    /// All of them, as a watch has them before each table.
    pub(crate) fn manifests(&self) -> Manifests {
        let all = self.others.clone().merge(self.route.clone());
        all.merge(self.pod.clone())
    }
}

fn server(out: &mut String, server: usize) {
    let team = server % TEAMS;
    let _ = write!(
        out,
        r#"---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: server-{server}
  namespace: team-{team}
  creationTimestamp: "2026-03-01T09:30:00Z"
  resourceVersion: "{server}"
spec:
  model: organisation/Model-{server}
  inferenceEngine: vLLM
  workloadSelector:
    matchLabels:
      app: server-{server}
  workloadPort:
    port: 8000
  trafficPolicy:
    timeout: 30s
    retry:
      attempts: 2
"#
    );
}

fn route(out: &mut String, route: usize, sizes: &Sizes, version: usize) {
    let is_wrong = sizes.wrong > 0 && route % sizes.wrong == 7;
    let by_weight = is_wrong && (route / sizes.wrong).is_multiple_of(2);
    let _ = write!(
        out,
        r#"---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata:
  name: route-{route}
  namespace: team-{team}
  creationTimestamp: "2026-03-01T09:30:00Z"
  resourceVersion: "{route}"
spec:
  modelName: model-{route}
  loraAdapters:
  - adapter-{route}
  rules:
  - name: premium
    modelMatch:
      headers:
        user-type:
          {kind}: premium-{version}{bracket}
    targetModels:
    - modelServerName: server-{first}
  - name: default
    targetModels:
    - modelServerName: server-{first}
      weight: {weight}
    - modelServerName: server-{second}
      weight: 10
"#,
        team = route % TEAMS,
        first = route % sizes.servers,
        second = (route + TEAMS) % sizes.servers,
        weight = if by_weight { 300 } else { 90 },
        kind = if is_wrong { "regex" } else { "exact" },
        bracket = if is_wrong && !by_weight { "(" } else { "" },
    );
}

fn pod(out: &mut String, pod: usize, sizes: &Sizes, is_ready: bool) {
    let server = pod % sizes.servers;
    let _ = write!(
        out,
        r#"---
apiVersion: v1
kind: Pod
metadata:
  name: pod-{pod}
  namespace: team-{team}
  labels:
    app: server-{server}
    pod-template-hash: 7d9f8b6c5d
status:
  phase: Running
  podIP: 10.0.{high}.{low}
  conditions:
  - type: Ready
    status: "{ready}"
"#,
        team = server % TEAMS,
        high = pod / 250,
        low = pod % 250,
        ready = if is_ready { "True" } else { "False" },
    );
}
