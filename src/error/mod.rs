//! Errors of a request ([`RouteError`]), and of a connection below it
//! ([`ConnectionFailure`]). Those of a configuration are in [`BuildError`](crate::BuildError).

mod answer;
mod connection;
mod request_id;
mod route;

pub(crate) use self::{
    answer::{ACCEPTED_ENCODINGS, Asked, Asker, ErrorBody, Shape, is_of_anthropic, is_of_google},
    request_id::X_REQUEST_ID,
    route::{BoxError, Chain, Excerpt, find, in_chain},
};
pub use self::{
    connection::{ConnectionFailure, ConnectionFailureKind},
    request_id::request_id,
    route::{RouteError, RouteErrorKind},
};
