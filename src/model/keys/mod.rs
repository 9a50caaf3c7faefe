//! The parts of a request's body that the choice of an endpoint depends on.

mod body;
mod conversation;
mod data;
mod hash;
mod json;
mod tokens;
mod usage;

pub(crate) use self::{
    body::{BodyKeys, NeededKeys},
    conversation::is_empty,
    hash::hash,
    usage::ask_for_usage,
};
