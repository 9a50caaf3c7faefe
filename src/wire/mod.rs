//! Turns the client's request head into the engine's, and the engine's response
//! head into the client's.

mod fresh;
mod origin;
pub(crate) mod rewrite;

pub use self::fresh::FreshConnection;
pub(crate) use self::origin::{Coded, Origin, Payload};
