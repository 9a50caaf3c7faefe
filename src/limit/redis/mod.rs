//! Limits, and the bindings of sessions, in Redis.

mod bindings;
mod pending;
mod registry;
mod script;
mod sessions;
mod shared;
mod slot;
mod store;
mod writer;

pub use self::store::RedisStore;
pub(crate) use self::{registry::store_of, sessions::SessionStore};
