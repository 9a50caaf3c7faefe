//! The parts of a request's body that the choice of an endpoint depends on.

mod blocks;
mod body;
mod conversation;
mod data;
mod hash;
mod ids;
mod json;
mod tokens;
mod usage;

pub(crate) use self::{
    blocks::BLOCK,
    body::{BodyKeys, NeededKeys},
    conversation::is_empty,
    hash::hash,
    ids::{id, id_in_body, id_in_path, makes_ids, may_name_id},
    usage::ask_for_usage,
};
