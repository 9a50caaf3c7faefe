//! The configuration of a table: plain data that every front end builds, and its mistakes.

mod address;
mod affinity;
mod balance;
mod builder;
mod custom;
mod declined;
#[cfg(any(feature = "manifest", feature = "serde"))]
mod duration;
mod elsewhere;
mod encoding;
mod endpoint;
mod engine_header;
mod engine_kind;
mod engine_state;
mod mistake;
mod model_route;
mod model_server;
mod on_interruption;
mod outlier_detection;
mod paths;
mod place;
mod rate_limit;
mod rule;
mod secret;
#[cfg(feature = "serde")]
mod serial;
mod session_sticky;
mod streaming;
mod string_match;
mod target;
mod traffic_policy;
mod without_model;
mod words;

#[cfg(any(feature = "manifest", feature = "redis"))]
pub(crate) use self::secret::Secret;
pub(crate) use self::{
    address::Address,
    engine_header::EngineHeader,
    paths::{bad_segment, is_usual, is_version},
};
pub use self::{
    affinity::{ConsistentHash, HashKey, PrefixCache, PrefixHash, Spill},
    balance::Balance,
    builder::RouteTableBuilder,
    custom::{Candidate, ChooseEndpoint, CustomBalance, EndpointRequest, RequestHead},
    encoding::Encoding,
    endpoint::Endpoint,
    engine_kind::EngineKind,
    engine_state::EngineState,
    mistake::{BuildError, Mistake, MistakeKind, Reason},
    model_route::ModelRoute,
    model_server::ModelServer,
    on_interruption::OnInterruption,
    outlier_detection::OutlierDetection,
    paths::ApiPaths,
    place::{Place, RoutePart, ServerPart},
    rate_limit::{LimitKey, LimitUnit, Per, RateLimit, StoreFailure},
    rule::{Condition, ModelMatch, Rule},
    session_sticky::SessionSticky,
    string_match::StringMatch,
    target::TargetModel,
    traffic_policy::TrafficPolicy,
    without_model::WithoutModel,
};
#[cfg(feature = "manifest")]
pub(crate) use self::{duration::format, rate_limit::is_address};
