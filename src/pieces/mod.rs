//! Small pieces without I/O: the bytes of a body, edits to them, a lock.

mod chunks;
mod joined;
mod lock;
mod splice;

pub(crate) use self::{
    chunks::Chunks,
    joined::Joined,
    lock::lock,
    splice::{Edit, Edits, Splice},
};
