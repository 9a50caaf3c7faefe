//! Limits in Redis.

mod pending;
mod registry;
mod script;
mod store;

pub(crate) use self::registry::store_of;
pub use self::store::RedisStore;
