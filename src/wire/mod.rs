//! Turns the client's request head into the engine's, and the engine's response
//! head into the client's.

mod for_model_server;
mod forwarded;
mod fresh;
mod location;
mod origin;
pub(crate) mod rewrite;
mod via;

pub use self::{
    for_model_server::ForModelServer, forwarded::ForwardedFields, fresh::FreshConnection, via::Via,
};
pub(crate) use self::{
    location::hide_endpoint,
    origin::{Coded, Origin, Payload},
};
