//! Limits in Redis.

mod pending;
mod registry;
mod script;
mod slot;
mod store;

pub(crate) use self::registry::store_of;
pub use self::store::RedisStore;
