//! From the client's head to the engine's.

mod origin;
pub(crate) mod rewrite;

pub(crate) use self::origin::{Coded, Origin, Payload};
