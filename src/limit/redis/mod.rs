//! Limits in Redis.

mod pending;
mod registry;
mod script;
mod store;

pub use self::store::RedisStore;
pub(crate) use self::registry::store_at;
