//! Tower middleware that routes LLM inference requests by the model named in the request.
//!
//! Clients of OpenAI-compatible servers name the model inside the JSON body,
//! where ordinary HTTP routing can't see it. [`ModelRouteLayer`] reads the
//! model's name from the body, evaluates ordered rules, and sends the request
//! to an endpoint of the chosen [`ModelServer`]. It rewrites the URI, the
//! headers and the model's name, and leaves every other byte unchanged:
//!
//! ```
//! use axum::body::Body;
//! use http::{Request, Response};
//! use tower::ServiceExt;
//! use tower_model_route::{
//!     ModelMatch, ModelRoute, ModelServer, RouteBody, RouteTable, Rule, StringMatch,
//!     TargetModel, stack,
//! };
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let table = RouteTable::builder()
//!     .model_server(
//!         ModelServer::new("small")
//!             .model("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B") // what the engines call it
//!             .endpoint("http://10.0.0.1:8000")
//!             .endpoint("http://10.0.0.2:8000"),
//!     )
//!     .model_server(ModelServer::new("large").endpoint("http://10.0.0.3:8000"))
//!     .model_route(
//!         ModelRoute::new("chat")
//!             .model_name("deepseek-chat") // what clients ask for
//!             .rule(
//!                 Rule::new("premium")
//!                     .when(ModelMatch::new().header("user-type", StringMatch::exact("premium")))
//!                     .target("large"),
//!             )
//!             .rule(
//!                 Rule::new("default")
//!                     .target(TargetModel::new("small").weight(70))
//!                     .target(TargetModel::new("large").weight(30)),
//!             ),
//!     )
//!     .build()?; // a BuildError lists every mistake in the configuration
//!
//! // A real gateway has an HTTP client here: `engine_client()`. This one
//! // answers with the URI that it was asked for.
//! let client = tower::service_fn(|request: Request<RouteBody>| async move {
//!     Ok::<_, std::io::Error>(Response::new(request.uri().to_string()))
//! });
//! let app: axum::Router = axum::Router::new().fallback_service(stack(table).service(client));
//!
//! let request = Request::post("/v1/chat/completions")
//!     .header("user-type", "premium")
//!     .body(Body::from(r#"{"model": "deepseek-chat", "messages": []}"#))?;
//! let response = app.oneshot(request).await?;
//! let uri = axum::body::to_bytes(response.into_body(), 1024).await?;
//! assert_eq!(uri, "http://10.0.0.3:8000/v1/chat/completions");
//! # Ok(())
//! # }
//! ```
//!
//! An *engine* is the inference server process upstream, an *endpoint* its
//! address, a *ModelServer* a group of endpoints that serve one model, and a
//! *target* a ModelServer named by a rule, with a weight.
//!
//! # Layer order
//!
//! ```text
//!  server (axum, hyper)                     Request<B>
//!    tower_http::trace, cors, request ids
//!    a global concurrency limit             bounds the memory of bodies being read
//!  stack(table):
//!    ModelRouteLayer                        Request<RouteBody>, to one endpoint
//!    AnswerErrorsLayer                      errors from below become JSON answers
//!    FailoverLayer                          the next endpoint, target, fallback
//!    AttemptTimeoutLayer                    the ModelServer's timeout, for each attempt
//!  load_shed, concurrency limits            pressure from the engines, for each attempt
//!  HTTP client (engine_client(), ...)
//! ```
//!
//! The error type of [`stack`]'s service is `Infallible`. Each of its four layers can
//! be used on its own; the guide on [layer order](guide::layer_order) has the
//! details.
//!
//! # I want to ...
//!
//! | I want to | use |
//! |---|---|
//! | route by model, with retries and timeouts | [`stack`] |
//! | change limits on bodies, or answer `/v1/models` myself | [`ModelRouteLayer`] |
//! | refuse a caller a model | [`ModelRouteLayer::authorize`] |
//! | map model names to servers | [`ModelRoute`], [`Rule`], [`ModelMatch`], [`StringMatch`] |
//! | split traffic for a canary | [`TargetModel::weight`] |
//! | serve LoRA adapters | [`ModelRoute::lora_adapters`] |
//! | load adapters, or follow which engines have which | [`LoraAdapters`], [`ServedModels`] |
//! | list engines, with weights | [`ModelServer`], [`Endpoint`] |
//! | choose how endpoints share the load, or keep a conversation on one | [`Balance`], [`HashKey`] |
//! | bind sessions to endpoints, in memory or in Redis | [`SessionSticky`] |
//! | find the engine that keeps a response, a file or a batch | [`EngineState`] |
//! | prefer engines in the gateway's own zone | [`TrafficPolicy::prefer_zone`], [`Endpoint::zone`] |
//! | set timeouts, retries, limits, queues | [`TrafficPolicy`] |
//! | fall back to another ModelServer if all targets fail | [`Rule::fallback`] |
//! | eject failing endpoints, or probe them | [`OutlierDetection`], [`HealthCheck`] |
//! | take an engine out of service, let a new one warm up | [`RouteTableHandle::drain`], [`TrafficPolicy::slow_start`] |
//! | change the table while requests are in flight | [`RouteTableHandle`] |
//! | balance over the addresses of one host name | [`Endpoint::resolve`], `Dns` |
//! | read Kthena's manifests, and reload them | `manifest::Manifests`, `manifest::Watch` |
//! | route by the resources of a Kubernetes cluster | `kube::Watch` |
//! | read the model from another place | [`ModelSources`], [`ExtractModel`] |
//! | find out where a request went | [`RouteDecision`], [`RouteBody::decision`] |
//! | find out why, or where a request would go | [`RouteTable::explain`], [`RouteTable::decide`] |
//! | know what each request costs, count it, log it | [`Observer`], `Metrics`, [`AccessLog`] |
//! | see load, health and counts | [`RouteTable::servers`], `Admin`, `Recent` |
//! | limit tokens and requests | [`RateLimit`], and the guide on [`limits`](guide::limits) |
//! | find mistakes in a valid table | [`RouteTable::lint`] |
//! | let WebSocket sessions end before a shutdown | [`Tunnels`] |
//! | store the service in a struct | [`RouteStackService`] |
//!
//! # Guides
//!
//! The module [`guide`] has the guides: start with [`semantics`](guide::semantics), what happens to a
//! request rule by rule, and [`operating`](guide::operating), what it takes to run a gateway.
//!
//! # Features
//!
//! | feature | what | default |
//! |---|---|---|
//! | `admin` | `Admin`, a service that shows the table and its live state, and explains requests; `Recent`, an observer with the last minute for it | off |
//! | `axum` | below a nested router, a request's original path is read from axum's `OriginalUri` | off |
//! | `client` | `engine_client()`: an HTTP client for engines, with HTTP/2 and TLS | off |
//! | `decompression` | compressed request bodies: gzip, deflate, br, zstd | off |
//! | `dns` | `Dns`: a host name with several addresses becomes several endpoints | off |
//! | `kube` | `kube::Watch` watches the ModelRoutes, ModelServers and Pods of a Kubernetes cluster | off |
//! | `manifest` | reads, checks and writes Kthena's ModelRoute and ModelServer manifests: the module `manifest` | off |
//! | `metrics` | `Metrics`, an observer that counts and measures through the `metrics` facade | off |
//! | `opentelemetry` | sends each attempt's trace context to its engine, through the propagator that you have set | off |
//! | `redis` | limits and session bindings shared by several gateways through Redis: [`RateLimit::redis`], [`SessionSticky::redis`], `RedisStore` | off |
//! | `serde` | the configuration, [`Explanation`] and [`ServerSnapshot`] are `Serialize` | off |
//! | `watch` | reloads manifests when their files change: `manifest::Watch` | off |

#![cfg_attr(docsrs, feature(doc_cfg))]
// A function of more than 50 lines needs an `expect` with a reason.
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

mod attempt;
#[cfg(feature = "client")]
mod client;
mod coding;
mod config;
mod error;
mod events;
mod gateway;
pub mod guide;
#[cfg(feature = "kube")]
pub mod kube;
mod limit;
#[cfg(feature = "manifest")]
pub mod manifest;
mod model;
mod observe;
mod pieces;
mod policy;
mod route;
mod server;
mod stack;
mod upload;
mod wire;

#[cfg(feature = "client")]
pub use self::client::{EngineClient, EngineClientBuilder, EngineFuture, engine_client};
#[cfg(feature = "redis")]
pub use self::limit::RedisStore;
#[cfg(feature = "metrics")]
pub use self::observe::Metrics;
#[cfg(feature = "admin")]
pub use self::observe::{Admin, AdminBody, AdminFuture, Recent};
#[cfg(feature = "dns")]
pub use self::policy::{Dns, DnsHandle, Resolve, Resolved, SystemResolver};
pub use self::{
    attempt::{ResponseBody, RouteBody, Tunnels},
    config::{
        ApiPaths, Balance, BuildError, Candidate, ChooseEndpoint, Condition, ConsistentHash,
        CustomBalance, Encoding, Endpoint, EndpointRequest, EngineKind, EngineState, HashKey,
        LimitKey, LimitUnit, Mistake, MistakeKind, ModelMatch, ModelRoute, ModelServer,
        OnInterruption, OutlierDetection, Per, Place, PrefixCache, PrefixHash, RateLimit, Reason,
        RequestHead, RoutePart, RouteTableBuilder, Rule, ServerPart, SessionSticky, Spill,
        StoreFailure, StringMatch, TargetModel, TrafficPolicy, WithoutModel,
    },
    error::{ConnectionFailure, ConnectionFailureKind, RouteError, RouteErrorKind, request_id},
    events::Usage,
    gateway::{ModelRouteLayer, ModelRouteService, ResponseFuture, RuleMatch},
    limit::{LimitStore, StoreFuture, StoreLevel, StoreTake},
    model::{
        DuplicateModels, ExtractModel, ExtractedModel, Extraction, HeaderModel, JsonBody, MapName,
        ModelName, ModelSources, MultipartBody, PathModel, QueryModel,
    },
    observe::{
        AccessLog, AccessStyle, AttemptFacts, AttemptOutcome, ConsideredCondition, ConsideredRoute,
        ConsideredRule, EndFacts, EndKind, EndpointSnapshot, ExplainedEndpoint, ExplainedFigure,
        ExplainedLimit, ExplainedTarget, Explanation, LimitFacts, LimitVerdict, Lint, LintKind,
        Observer, RequestFacts, RuleVerdict, ServerSnapshot, SpanLevel, Times, Verdict,
    },
    policy::{
        AdapterOutcome, AdapterReport, AnswerErrors, AnswerErrorsFuture, AnswerErrorsLayer,
        AttemptTimeout, AttemptTimeoutFuture, AttemptTimeoutLayer, EngineMetrics,
        EngineMetricsHandle, Failover, FailoverFuture, FailoverLayer, FailoverService, HealthCheck,
        HealthCheckHandle, LoadAdapter, LoraAdapters, RetryInterval, ServedModels,
        ServedModelsHandle,
    },
    route::{LoadSource, RouteDecision, RouteTable, RouteTableHandle},
    server::{AffinityKeys, EndpointHealth, LoadReport, ReportSource, ReportedLoad},
    stack::{RouteStack, RouteStackService, stack},
    wire::{AtAddress, ForModelServer, ForwardedFields, FreshConnection, Via},
};

/// The README's examples are compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// For the benches: no part of the API.
#[doc(hidden)]
pub mod internal {
    pub use crate::events::{
        Dialect, End, Event, EventError, Format, Interruption, Kinds, MAX_TEMPLATE, Reader, Usage,
        data_of, error_event, keep_alive,
    };
    pub use crate::route::by_body::{blocks, chooses, takes};
}

/// For the targets in `fuzz/`.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz {
    /// Panics if the JSON scanner violates one of its invariants.
    pub fn json(input: &[u8]) {
        crate::model::fuzz_json(input);
    }

    /// Panics if the reader of answers violates one of its invariants.
    pub fn events(input: &[u8]) {
        crate::events::fuzz_events(input);
    }

    /// Panics if the multipart scanner violates one of its invariants.
    pub fn multipart(input: &[u8]) {
        crate::model::fuzz_multipart(input);
    }
}
