//! Kthena's manifests: ModelRoutes and ModelServers as YAML or JSON, in and out.
//!
//! [`Manifests`] reads resources of the kinds `ModelRoute` and `ModelServer`
//! of `networking.serving.volcano.sh/v1alpha1`, as they are in a cluster, and
//! makes a [`RouteTable`](crate::RouteTable) of them.
//! [`RouteTable::to_yaml`](crate::RouteTable::to_yaml) is the way back.
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
//! such as `kubectl get -o yaml` writes. Kinds other than these are passed over:
//!
//! | kind | what it gives |
//! |---|---|
//! | `ModelRoute`, `ModelServer` | themselves |
//! | `Pod` | an endpoint of its name, if it runs, is ready and not being deleted, of each ModelServer of its namespace whose `matchLabels` it has; of a `pdGroup` only if it has the `groupKey` and all `decodeLabels` |
//! | `Endpoints`, `EndpointSlice` | endpoints of the ModelServer of that name, or whose `matchLabels` they have, or that names their Service in an annotation; called like their Pods |
//!
//! What a file does not say of a Pod is not held against it.
//!
//! Everything in the table is named `NAMESPACE/NAME`; the namespace is
//! `default` where none is given. The targets of a route are ModelServers of
//! its own namespace, so tenants do not meet. Routes of one model name are
//! tried in the order of their `creationTimestamp` (what has none comes
//! first, as in Kthena), then of `resourceVersion` as a number (what has none
//! comes first), then of `NAMESPACE/NAME`. A rule without a name is called
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
//! | `trafficPolicy.retry.attempts` | [`TrafficPolicy::max_retries`](crate::TrafficPolicy::max_retries): 4 at once, after 500 and 503, where `retry` is not there |
//! | `trafficPolicy.retry.retryInterval` | [`TrafficPolicy::retry_interval`](crate::TrafficPolicy::retry_interval) |
//! | `trafficPolicy.sessionSticky` | [`TrafficPolicy::session_sticky`](crate::TrafficPolicy::session_sticky); a `JWTClaim` is a value in [`AffinityKeys`](crate::AffinityKeys), with a warning |
//!
//! `parentRefs` count where [`Manifests::gateway`] names a Gateway. Without it they,
//! `pdGroup` (but for the choice of Pods), `kvConnector`, `pipelineMode`,
//! `connectionPool` and `externalModelProviderName` are read and
//! not acted on: each is a warning. What an `externalModelProviderName` names is a
//! ModelServer `NAMESPACE/external:NAME` without endpoints.
//!
//! # Annotations
//!
//! Options that Kthena's schema does not have are annotations,
//! which are YAML in a text. All are optional:
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
//! The guide on [limits](crate::guide::limits#together-with-kthena) has all options of the last two.
//!
//! # What is said about it
//!
//! [`Manifests::build`] names every error at once, with file, document, line,
//! column and field; [`Manifests::check`] gives warnings as well, with those of
//! [`RouteTable::lint`](crate::RouteTable::lint). Printed, each is a line as
//! compilers write them. Unknown fields are warnings, with the name that was
//! probably meant; so are numbers with quotes and texts without, which are
//! taken for what they must be, and which Kubernetes would refuse.
//!
//! What Kthena's schema or webhook would refuse and this crate takes is a
//! warning with the code `refused-by-kthena`: such as `endpoints` beside
//! `matchLabels`, two endpoints of one name, a label that Kubernetes refuses,
//! more than 16 rules. Whoever does not go back to Kthena may pass over these.
//! [`Manifests::deny`] makes errors of the warnings with a code.
//!
//! Files are not trusted: what one costs is bounded by its length, whatever
//! its nesting and its aliases.

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
