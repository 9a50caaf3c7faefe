//! Kthena's manifests: ModelRoutes and ModelServers as YAML or JSON, in and out.
//!
//! [`Manifests`] reads resources of the kinds `ModelRoute` and `ModelServer` of
//! `networking.serving.volcano.sh/v1alpha1`, as they are in a cluster, and
//! builds a [`RouteTable`](crate::RouteTable) from them.
//! [`RouteTable::to_yaml`](crate::RouteTable::to_yaml) writes them.
//!
//! ```no_run
//! use tower_model_route::manifest::Manifests;
//!
//! let manifests = Manifests::from_path("routes/")
//!     .merge(Manifests::from_path("servers.yaml"))
//!     .endpoints("ml/deepseek-r1-7b", ["http://10.0.0.7:8000", "http://10.0.0.8:8000"]);
//! for warning in manifests.check().warnings() {
//!     eprintln!("{warning}");
//! }
//! let table = manifests.build()?;
//! # Ok::<(), tower_model_route::manifest::ManifestError>(())
//! ```
//!
//! # What is read
//!
//! Files may hold several documents, of YAML or JSON, and lists of resources
//! such as `kubectl get -o yaml` writes. Other kinds than these are skipped:
//!
//! | kind | what it gives |
//! |---|---|
//! | `ModelRoute`, `ModelServer` | themselves |
//! | `Pod` | an endpoint with its name, if it is running, ready and not being deleted, of each ModelServer in its namespace whose `matchLabels` it has; in a `pdGroup` only if it has the `groupKey` and all `decodeLabels` |
//! | `Endpoints`, `EndpointSlice` | endpoints of the ModelServer of that name, or whose `matchLabels` they have, or that names their Service in an annotation; named after their Pods |
//!
//! What a file leaves out about a Pod does not count against it.
//!
//! Everything in the table is named `NAMESPACE/NAME`; the namespace is
//! `default` if none is given. The targets of a route are ModelServers of its
//! own namespace, so tenants are kept apart. Routes with the same model name
//! are tried in the order of their `creationTimestamp` (those without one come
//! first, as in Kthena), then of `resourceVersion` as a number (those without
//! one come first), then of `NAMESPACE/NAME`. A rule without a name is named
//! `rule-1`, by its position.
//!
//! | Kthena | here |
//! |---|---|
//! | `modelName`, `loraAdapters`, `rules` | [`ModelRoute`](crate::ModelRoute), in the same order |
//! | `modelMatch`: `headers`, `uri`, `body.model` | [`ModelMatch`](crate::ModelMatch) |
//! | `weight`, 100 by default | [`TargetModel::weight`](crate::TargetModel::weight) |
//! | `model` | [`ModelServer::model`](crate::ModelServer::model) |
//! | `workloadPort`, `endpoints` | [`ModelServer::endpoint`](crate::ModelServer::endpoint) |
//! | `rateLimit` | [`ModelRoute::rate_limit`](crate::ModelRoute::rate_limit): one for input and one for output tokens, in memory or in `global.redis` |
//! | `trafficPolicy.timeout` | [`TrafficPolicy::timeout`](crate::TrafficPolicy::timeout) |
//! | `trafficPolicy.retry.attempts` | [`TrafficPolicy::max_retries`](crate::TrafficPolicy::max_retries); without `retry`, 4 at once, after 500 and 503 |
//! | `trafficPolicy.retry.retryInterval` | [`TrafficPolicy::retry_interval`](crate::TrafficPolicy::retry_interval) |
//! | `trafficPolicy.sessionSticky` | [`TrafficPolicy::session_sticky`](crate::TrafficPolicy::session_sticky); a `JWTClaim` is a value in [`AffinityKeys`](crate::AffinityKeys), with a warning |
//!
//! `parentRefs` count if [`Manifests::gateway`] names a Gateway. Otherwise they are
//! read but not acted on, as are `pdGroup` (except for the choice of Pods),
//! `kvConnector`, `pipelineMode`, `connectionPool` and `externalModelProviderName`:
//! each is a warning. An `externalModelProviderName` becomes a ModelServer
//! `NAMESPACE/external:NAME` without endpoints.
//!
//! # Annotations
//!
//! Options that Kthena's schema does not have are annotations, whose values are
//! YAML in a string. All are optional:
//!
//! ```yaml
//! kind: ModelServer
//! metadata:
//!   annotations:
//!     # its name in the table, instead of NAMESPACE/NAME
//!     tower-model-route/name: small
//!     # any URL, also with https, a path, a weight, or a name of several addresses
//!     tower-model-route/endpoints: |
//!       - http://10.0.0.1:8000
//!       - url: https://engines.example/small
//!         weight: 3
//!       - url: http://engines.ml.svc:8000
//!         resolve: true
//!         zone: eu-1a
//!         name: engines                # what people call it
//!     # the Service that its engines belong to, in place of workloadSelector: its endpoints are
//!     # those of the EndpointSlices of that Service, with the workloadPort or else the slice's port
//!     tower-model-route/service: engines
//!     # LeastRequest, LeastTokens, RoundRobin, Random, PeakEwma, PrefixCache: {entries: N},
//!     # PrefixHash: BYTES, or ConsistentHash: with a key or a list of keys (ClientAddr, User,
//!     # SessionId, PromptCacheKey, Conversation, or NAME of a Header, Query, Cookie or
//!     # Extension); the last two as {bytes, spill} and {keys, spill} too, where spill is
//!     # Never, AboveRequests: N or AboveTokens: N
//!     tower-model-route/balance: |
//!       ConsistentHash:
//!         Header: x-session
//!     # what /v1/models tells of it
//!     tower-model-route/max-model-len: "8192"
//!     # facts about its engines; forceUsage, acceptsEncoding and headers may be here too
//!     tower-model-route/engine: |
//!       kind: vLLM
//!       loadReports: true
//!     # the compressed request bodies that its engines read; by default none
//!     tower-model-route/accepts-encoding: "[gzip, zstd]"
//!     # headers for its engines; a key is a reference that the program allows
//!     tower-model-route/headers: |
//!       authorization: Bearer ${ENGINE_KEY}
//!     # what TrafficPolicy has beyond Kthena's
//!     tower-model-route/traffic-policy: |
//!       totalTimeout: 1m
//!       streamIdleTimeout: 10s
//!       firstEventGate: true
//!       firstEventSlow: 5s
//!       firstEventTimeout: 20s
//!       sseKeepalive: 10s
//!       onInterruption: event
//!       maxRetryInterval: 2s
//!       retryStatuses: [429, 503]
//!       retryUnknownModel: true
//!       retryTooLong: false
//!       maxInFlight: 64
//!       maxQueue: 16
//!       queueTimeout: 500ms
//!       slowStart: 30s
//!       preferZone: 16
//!       forceUsage: true
//!       outlierDetection:
//!         consecutiveFailures: 3
//!         baseEjectionTime: 5s
//!         maxEjectionTime: 1m
//!         maxEjectionPercent: 50
//!         maxRetryAfter: 30s
//! ---
//! kind: ModelRoute
//! metadata:
//!   annotations:
//!     tower-model-route/name: chat
//!     # requests that name no model go to this route, and to no other
//!     tower-model-route/without-model: "true"
//!     # by the rules' names, or a list in the order of the rules
//!     tower-model-route/rules: |
//!       premium:
//!         fallbacks: [small]           # ModelServers of the same namespace
//!         when:                        # further conditions, each a modelMatch
//!         - uri: {prefix: /v1/chat}
//!         - promptTokens: {min: 4000, max: 8000}   # estimated, both included
//!     # options of the spec's rateLimit
//!     tower-model-route/rate-limit: |
//!       kthenaKeys: true               # also observeOnly, onStoreFailure
//!     # further limits: inputTokens, outputTokens, totalTokens, requests, concurrentRequests
//!     tower-model-route/limits: |
//!       - {unit: requests, limit: 60, per: minute, header: x-api-key}
//!       - {unit: totalTokens, limit: 1000000, per: day, key: tenant, onStoreFailure: closed}
//! ```
//!
//! The guide on [limits](crate::guide::limits#together-with-kthena) lists all options of the last
//! two.
//!
//! # Errors and warnings
//!
//! [`Manifests::build`] reports every error at once, with file, document, line,
//! column and field; [`Manifests::check`] reports warnings as well, including
//! those of [`RouteTable::lint`](crate::RouteTable::lint). Printed, each is a
//! line in the form that compilers use. Unknown fields are warnings, with the
//! name that was probably meant; so are quoted numbers and unquoted strings,
//! which are read as intended but which Kubernetes would refuse.
//!
//! What this crate accepts but Kthena's schema or webhook would refuse is a
//! warning with the code `refused-by-kthena`: `endpoints` beside `matchLabels`,
//! for example, two endpoints of one name, a label that Kubernetes refuses, or
//! more than 16 rules. If you won't go back to Kthena, you can ignore these.
//! [`Manifests::deny`] turns the warnings with a code into errors.
//!
//! Files are not trusted: the cost of a file is bounded by its length, whatever
//! its nesting and aliases.

mod assembly;
mod deep_stack;
mod diagnostic;
mod files;
mod full_name;
mod gateway;
mod inputs;
mod keys;
mod lenient;
mod lints;
#[cfg(feature = "kube")]
mod objects;
mod options;
mod origin;
mod place;
mod read;
#[cfg(any(feature = "watch", feature = "kube"))]
mod reloads;
mod scope;
mod served;
mod server_info;
mod set;
#[cfg(feature = "watch")]
mod watch;
mod workloads;
mod write;
mod yaml;

#[cfg(feature = "watch")]
pub use self::watch::{Watch, WatchError, WatchHandle};
#[cfg(feature = "kube")]
pub(crate) use self::{
    deep_stack::on_deep_stack, objects::ReadObject, read::kubernetes::is_dns_label,
    reloads::Reloads,
};
pub use self::{
    diagnostic::{Diagnostic, ManifestError, Report, Severity},
    server_info::ServerInfo,
    set::Manifests,
};
