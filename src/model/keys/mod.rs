//! The parts of a request's body that the choice of an endpoint depends on.

mod body;
mod conversation;
mod hash;
mod json;
mod tokens;

pub(crate) use self::{
    body::{BodyKeys, NeededKeys},
    conversation::is_empty,
    hash::hash,
};
