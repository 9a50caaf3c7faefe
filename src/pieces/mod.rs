//! Bytes in the pieces in which they came. No I/O.

mod chunks;
mod splice;

pub(crate) use self::{
    chunks::Chunks,
    splice::{Edit, Edits, Splice},
};
