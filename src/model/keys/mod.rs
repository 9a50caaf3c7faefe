//! What the choice of an endpoint asks of a request's body.

mod body;
mod conversation;
mod hash;
mod json;

pub(crate) use self::{
    body::{BodyKeys, NeededKeys},
    conversation::is_empty,
    hash::hash,
};
