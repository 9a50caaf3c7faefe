//! What can go wrong: in a configuration ([`BuildError`]) and with a request ([`RouteError`]).

mod answer;
mod build;
mod route;

pub(crate) use self::{
    answer::Shape,
    route::{Excerpt, in_chain, is_timeout},
};
pub use self::{
    build::{BuildError, Mistake, MistakeKind},
    route::{RouteError, RouteErrorKind},
};

/// Any error, boxed.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
