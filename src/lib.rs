//! Tower middleware that routes LLM inference requests by the model that they name.
//!
//! Clients of OpenAI-compatible servers name the model inside the JSON body,
//! where ordinary HTTP routing can't see it. [`ModelRouteLayer`] reads it
//! there, evaluates ordered rules, and sends the request to an endpoint of the
//! chosen [`ModelServer`], with the URI, the headers and the model's name
//! rewritten and every other byte as it was:
//!
//! ```
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use tower_model_route::{
//!     ModelMatch, ModelRoute, ModelServer, RouteBody, RouteTable, Rule, StringMatch,
//!     TargetModel, TrafficPolicy, stack,
//! };
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let table = RouteTable::builder()
//!     .model_server(
//!         ModelServer::new("small")
//!             .model("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B")
//!             .endpoint("http://10.0.0.1:8000")
//!             .endpoint("http://10.0.0.2:8000")
//!             .traffic_policy(TrafficPolicy::new().max_retries(1)),
//!     )
//!     .model_server(ModelServer::new("large").endpoint("http://10.0.0.3:8000"))
//!     .model_route(
//!         ModelRoute::new("chat")
//!             .model_name("deepseek-chat")
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
//!     .build()?; // every mistake in the configuration is named here, all at once
//!
//! let client = Client::builder(TokioExecutor::new()).build_http::<RouteBody>();
//! let app: axum::Router = axum::Router::new().fallback_service(stack(table).service(client));
//! # let _ = app;
//! # Ok(())
//! # }
//! ```
//!
//! # Where it stands among other layers
//!
//! ```text
//!  server (axum, hyper)                     Request<B>
//!    tower_http::trace, cors, request ids
//!    a global concurrency limit             bounds the memory of bodies being read
//!  stack(table):
//!    ModelRouteLayer                        Request<RouteBody>, to one endpoint
//!    AnswerErrorsLayer                      errors from below become JSON answers
//!    RetryLayer(Failover)                   the next endpoint, target, fallback
//!    AttemptTimeoutLayer                    the ModelServer's timeout, for each attempt
//!  load_shed, concurrency limits            pressure from the engines, for each attempt
//!  HTTP client (hyper-util, ...)
//! ```
//!
//! Each of the four in [`stack`] is a layer of its own, for those who want
//! another order or fewer of them.
//!
//! The `ModelRouteLayer` is always ready and waits for the inner service only when a
//! request's body is in. A limit below it therefore counts calls to engines
//! and not slow uploads; a limit above it counts requests with their uploads,
//! and should be one for all of the gateway (`GlobalConcurrencyLimitLayer`:
//! tower's plain `ConcurrencyLimitLayer` makes a new one for each service, and
//! axum makes a service for each route). Layers that can fail *above* the
//! `ModelRouteLayer` need an [`AnswerErrorsLayer`] around them.
//!
//! # What happens to a request
//!
//! 1. An [`ExtractModel`] says where the model stands: by default in the path,
//!    in the query, in a multipart field, or as the top-level `model` of a JSON
//!    body ([`ModelSources::standard`]). A body is scanned as it arrives, and
//!    only until then it is held.
//! 2. The [`RouteTable`] finds the [`ModelRoute`] of that name, or else the
//!    one that has it as a LoRA adapter, and its first [`Rule`] that matches.
//! 3. The rule's targets are split by weight: exactly, not at random.
//! 4. One of the [`ModelServer`]'s endpoints gets it, chosen by [`Balance`]
//!    among those that are sound and not full. It counts as in flight there
//!    until the answer's body has ended.
//! 5. The model's name is overwritten by [`ModelServer::model`], unless the
//!    route was found by an adapter's name. What was decided stands in the
//!    extensions of request and response as a [`RouteDecision`].
//! 6. The rest of a body that still arrives is forwarded as it comes, and
//!    scanned to its end: what is wrong with it breaks the upstream request off.
//! 7. What an engine answers is what the client sees. Where one fails, the
//!    [`TrafficPolicy`] says whether the request is sent again elsewhere
//!    ([`Failover`]), and an endpoint that fails too often is left out for a
//!    while ([`OutlierDetection`]).
//!
//! A [`RouteTableHandle`] in place of the table lets it be replaced while
//! requests are under way.
//!
//! What can't be routed is answered with an OpenAI-shaped JSON error
//! (Anthropic-shaped on `/v1/messages`), and a [`RouteError`] in the
//! response's extensions. `GET /v1/models` is answered from the table.
//!
//! # Features
//!
//! | feature | what | default |
//! |---|---|---|
//! | `admin` | `Admin`, a service that shows the table and its live state, and explains requests | off |
//! | `decompression` | compressed request bodies: gzip, deflate, br, zstd | off |
//! | `manifest` | Kthena's ModelRoute and ModelServer manifests, read and written: the module `manifest` | off |
//! | `serde` | [`Explanation`] and [`ServerSnapshot`] are `Serialize` | off |
//! | `watch` | reloads manifests when their files change: `manifest::Watch` | off |

mod attempt;
mod coding;
mod config;
mod error;
mod gateway;
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

#[cfg(feature = "admin")]
pub use self::observe::{Admin, AdminBody, AdminFuture};
pub use self::{
    attempt::{ResponseBody, RouteBody},
    config::{
        Balance, BuildError, Condition, Endpoint, HashKey, Mistake, MistakeKind, ModelMatch,
        ModelRoute, ModelServer, OutlierDetection, Place, Reason, RoutePart, RouteTableBuilder,
        Rule, ServerPart, StringMatch, TargetModel, TrafficPolicy,
    },
    error::{RouteError, RouteErrorKind},
    gateway::{ModelRouteLayer, ModelRouteService, ResponseFuture, WithoutModel},
    model::{
        DuplicateModels, ExtractModel, ExtractedModel, Extraction, HeaderModel, JsonBody,
        ModelSources, MultipartBody, PathModel, QueryModel,
    },
    observe::{
        ConsideredCondition, ConsideredRoute, ConsideredRule, EndpointSnapshot, ExplainedEndpoint,
        ExplainedTarget, Explanation, Lint, LintKind, RuleVerdict, ServerSnapshot, Verdict,
    },
    policy::{
        AnswerErrors, AnswerErrorsFuture, AnswerErrorsLayer, AttemptTimeout, AttemptTimeoutFuture,
        AttemptTimeoutLayer, Failover, FailoverFuture, FailoverLayer, FailoverService, HealthCheck,
        HealthCheckHandle, RetryInterval,
    },
    route::{RouteDecision, RouteTable, RouteTableHandle},
    server::EndpointHealth,
    stack::{RouteStack, RouteStackService, stack},
};

/// The README's examples are compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// For the targets in `fuzz/`.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz {
    /// Panics where the JSON scanner breaks a promise.
    pub fn json(input: &[u8]) {
        crate::model::fuzz_json(input);
    }

    /// Panics where the multipart scanner breaks a promise.
    pub fn multipart(input: &[u8]) {
        crate::model::fuzz_multipart(input);
    }
}
