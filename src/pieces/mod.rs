//! Small pieces without I/O: the bytes of a body, edits to them, a lock, a bounded memory, jitter, a time.

mod chunks;
mod edited;
mod first_of;
mod interned;
mod jittered;
mod joined;
mod later;
mod lock;
mod members;
mod recent;
mod splice;

pub(crate) use self::{
    chunks::Chunks,
    edited::Edited,
    first_of::{first_of, quote_or_backslash},
    interned::interned,
    jittered::jittered,
    joined::Joined,
    later::later,
    lock::lock,
    members::members,
    recent::Recent,
    splice::{Edit, Edits, Splice},
};
