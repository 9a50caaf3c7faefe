//! Small pieces without I/O: the bytes of a body, edits to them, a lock, a bounded memory, jitter.

mod chunks;
mod edited;
mod first_of;
mod interned;
mod jittered;
mod joined;
mod lock;
mod recent;
mod splice;

pub(crate) use self::{
    chunks::Chunks,
    edited::Edited,
    first_of::{first_of, quote_or_backslash},
    interned::interned,
    jittered::jittered,
    joined::Joined,
    lock::lock,
    recent::Recent,
    splice::{Edit, Edits, Splice},
};
