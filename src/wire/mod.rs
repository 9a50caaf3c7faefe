//! Says which requests pass by their heads, turns the client's request head into the engine's, and
//! the engine's response head into the client's.

mod admission;
mod at_address;
mod fields;
mod for_model_server;
mod forwarded;
mod fresh;
pub(crate) mod load_report;
mod location;
mod origin;
mod original_path;
pub(crate) mod rewrite;
mod via;

pub(crate) use self::{
    admission::{Admission, admitted},
    fields::{Fields, RequestFields},
    location::hide_endpoint,
    origin::{Origin, Payload, PayloadContent},
    original_path::OriginalPath,
};
pub use self::{
    at_address::AtAddress, for_model_server::ForModelServer, forwarded::ForwardedFields,
    fresh::FreshConnection, via::Via,
};
