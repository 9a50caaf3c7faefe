//! Small pieces without I/O: the bytes of a body, edits to them, a lock.

mod chunks;
mod lock;
mod splice;

pub(crate) use self::{
    chunks::Chunks,
    lock::lock,
    splice::{Edit, Edits, Splice},
};
