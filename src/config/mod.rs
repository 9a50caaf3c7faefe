//! What a table is made of: plain data that every front end writes, and the mistakes in it.

mod balance;
mod builder;
mod mistake;
mod model_route;
mod model_server;
mod outlier_detection;
mod place;
mod rule;
mod string_match;
mod target;
mod traffic_policy;

pub use self::{
    balance::{Balance, HashKey},
    builder::RouteTableBuilder,
    mistake::{BuildError, Mistake, MistakeKind},
    model_route::ModelRoute,
    model_server::ModelServer,
    outlier_detection::OutlierDetection,
    rule::{ModelMatch, Rule},
    string_match::StringMatch,
    target::TargetModel,
    traffic_policy::TrafficPolicy,
};
pub(crate) use self::{
    place::{Place, RoutePart, ServerPart},
    rule::Condition,
    string_match::Pattern,
};
