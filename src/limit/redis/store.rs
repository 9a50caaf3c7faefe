//! The store.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use redis::{Client, ConnectionInfo, IntoConnectionInfo, RedisError};

use super::{shared::Shared, writer};
use crate::{
    config::{BuildError, MistakeKind},
    limit::bindings::Bind,
    limit::store::{LimitStore, StoreFuture, StoreTake},
};

/// Keeps limits in one Redis, or in a server that speaks its protocol and has Lua
/// (Valkey).
///
/// Each decision is one script call, by Redis's clock, so that gateways share a limit exactly,
/// whatever their own clocks say. What an answer really used is settled by a task that starts when
/// the store is first used, in calls of up to 256 buckets.
///
/// It has one connection to one server, and is not a cluster client. A cluster with a single shard,
/// or behind a proxy, works: the limits of a route are in one slot, and a call is for one slot.
/// With [`kthena_keys`](crate::RateLimit::kthena_keys) that is one call for each limit.
///
/// ```
/// use std::sync::Arc;
/// use tower_model_route::{ModelRouteLayer, RedisStore, RouteTable};
///
/// # fn main() -> Result<(), tower_model_route::BuildError> {
/// # let table = RouteTable::builder().build()?;
/// let store = RedisStore::new("redis://:secret@10.0.0.9:6379/1")?;
/// let layer = ModelRouteLayer::new(table).limit_store(Arc::new(store));
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
pub struct RedisStore {
    shared: Arc<Shared>,
}

impl RedisStore {
    /// A store at `address`: `host:port`, or `redis://[user:password@]host:port[/database]`.
    ///
    /// It connects when it is first used, and again whenever the connection is lost.
    ///
    /// # Errors
    ///
    /// [`MistakeKind::InvalidRedisAddress`] if `address` is none of these.
    pub fn new(address: &str) -> Result<Self, BuildError> {
        Self::open(connection_info(address)?)
    }

    /// Like [`new`](Self::new), with this password, unescaped: in an address some characters
    /// would have to be escaped.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_password(address: &str, password: &str) -> Result<Self, BuildError> {
        let info = connection_info(address)?;
        let settings = info.redis_settings().clone().set_password(password);
        Self::open(info.set_redis_settings(settings))
    }

    fn open(info: ConnectionInfo) -> Result<Self, BuildError> {
        let client = Client::open(info).map_err(invalid_address)?;
        let shared = Arc::new(Shared::new(client));
        shared.enlist();
        Ok(Self { shared })
    }

    /// Waits until nothing is left to be written in any store of this process, including those
    /// that limits and policies name, and those that no table has any more.
    ///
    /// For the end of a program, when its requests have ended. Settlements that are not written by
    /// then are lost: those requests cost what was reserved for them. While Redis can't be reached
    /// it does not return, so use a timeout:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_model_route::RedisStore;
    /// # async fn example() {
    /// _ = tokio::time::timeout(Duration::from_secs(1), RedisStore::settled()).await;
    /// # }
    /// ```
    pub async fn settled() {
        writer::settled().await;
    }

    /// Writes the binding of a session a little later.
    pub(super) fn bind_later(&self, bind: Bind) {
        self.shared.start_writer();
        self.shared.unbound.add(bind);
        self.shared.more.notify_one();
    }

    /// Where a session is bound.
    pub(super) async fn look_up(&self, key: &str) -> Result<Option<String>, RedisError> {
        self.shared.start_writer();
        let mut connection = self.shared.connection()?;
        let found = redis::cmd("GET")
            .arg(key)
            .query_async(&mut connection)
            .await;
        self.shared.heard(found)
    }
}

fn connection_info(address: &str) -> Result<ConnectionInfo, BuildError> {
    let url = match address.contains("://") {
        true => address.to_owned(),
        false => format!("redis://{address}"),
    };
    url.into_connection_info().map_err(invalid_address)
}

fn invalid_address(_: RedisError) -> BuildError {
    BuildError::other("RedisStore", MistakeKind::InvalidRedisAddress)
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        // The task settles what is left, and ends; also where Redis fails.
        self.shared.is_closed.store(true, Ordering::Release);
        self.shared.more.notify_one();
    }
}

impl LimitStore for RedisStore {
    fn reserve(&self, takes: Arc<[StoreTake]>) -> StoreFuture {
        self.shared.start_writer();
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { Ok(shared.reserve(&takes).await?) })
    }

    fn settle(&self, take: StoreTake) {
        self.shared.start_writer();
        self.shared.settle_later(take);
    }
}

impl fmt::Debug for RedisStore {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.shared.client.get_connection_info().addr().to_string();
        f.debug_tuple("RedisStore").field(&address).finish()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::limit::redis::shared::PATIENCE;

    /// One at an address where nobody is, with something to settle.
    fn failing() -> RedisStore {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = nobody.local_addr().unwrap().to_string();
        drop(nobody);
        let store = RedisStore::new(&address).unwrap();
        store.settle(take());
        store
    }

    fn take() -> StoreTake {
        StoreTake::new("{route}", 100, 3600 * PATIENCE, 7)
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_gone_leaves_nothing_behind_while_redis_is_down() {
        let store = failing();
        sleep(3 * PATIENCE).await;
        let shared = Arc::downgrade(&store.shared);
        assert!(!shared.upgrade().unwrap().unsettled.some().is_empty());
        store.settle(take());
        drop(store);
        sleep(5 * PATIENCE).await;
        assert_eq!(shared.strong_count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_written_is_waited_for_until_it_is_given_up() {
        let idle = RedisStore::new("idle.test:6379").unwrap();
        idle.shared.settled().await;
        let store = failing();
        let shared = Arc::clone(&store.shared);
        let patient = timeout(60 * PATIENCE, shared.settled());
        assert!(patient.await.is_err());
        drop(store);
        timeout(60 * PATIENCE, shared.settled()).await.unwrap();
    }
}
