//! Errors of a request ([`RouteError`]). Those of a configuration are in
//! [`BuildError`](crate::BuildError).

mod answer;
mod route;

pub use self::route::{RouteError, RouteErrorKind};
pub(crate) use self::{
    answer::{ACCEPTED_ENCODINGS, Shape},
    route::{BoxError, Excerpt, in_chain},
};
