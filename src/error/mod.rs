//! What can go wrong: in a configuration ([`BuildError`]) and with a request ([`RouteError`]).

mod answer;
mod route;

pub use self::route::{RouteError, RouteErrorKind};
pub(crate) use self::{
    answer::{ACCEPTED_ENCODINGS, Shape},
    route::{BoxError, Excerpt, in_chain},
};
