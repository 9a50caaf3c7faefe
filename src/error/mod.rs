//! Errors of a request ([`RouteError`]). Those of a configuration are in
//! [`BuildError`](crate::BuildError).

mod answer;
mod request_id;
mod route;

pub use self::route::{RouteError, RouteErrorKind};
pub(crate) use self::{
    answer::{ACCEPTED_ENCODINGS, Asker},
    request_id::X_REQUEST_ID,
    route::{BoxError, Excerpt, in_chain},
};
