//! The store.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{
    Client, ConnectionInfo, IntoConnectionInfo, RedisError, Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::{runtime::Handle, sync::Notify, task::AbortHandle, time::sleep};
use tracing::{error, warn};

use super::{
    pending::Unsettled,
    script::{Mode, call, levels, script},
};
use crate::{
    config::{BuildError, MistakeKind},
    error::BoxError,
    limit::store::{LimitStore, StoreFuture, StoreLevel, StoreTake, UnusableBucket},
    pieces::lock,
};

/// The longest that connecting, or settling, may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Keeps limits in one Redis, or a server that speaks its protocol and has Lua (Valkey).
///
/// Each decision is one call of a script, which goes by the clock of Redis: gateways share a limit
/// exactly, whatever their own clocks say. What an answer has really used is settled by a task that
/// the store starts when it is first asked.
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
    /// The task that settles; it ends with the store.
    writer: Mutex<Option<AbortHandle>>,
}

struct Shared {
    client: Client,
    connection: Mutex<Option<ConnectionManager>>,
    script: Script,
    unsettled: Unsettled,
    more: Notify,
    has_overflown: AtomicBool,
    is_closed: AtomicBool,
}

impl RedisStore {
    /// A store at `address`: `host:port`, or `redis://[user:password@]host:port[/database]`.
    ///
    /// It connects when it is first asked, and again whenever the connection is lost.
    ///
    /// # Errors
    ///
    /// [`MistakeKind::InvalidRedisAddress`] if it is no such address.
    pub fn new(address: &str) -> Result<Self, BuildError> {
        Self::open(connection_info(address)?)
    }

    /// The same with this password, as it is: in an address some letters have to be escaped.
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
        Ok(Self {
            shared: Arc::new(Shared {
                client,
                connection: Mutex::default(),
                script: script(),
                unsettled: Unsettled::default(),
                more: Notify::new(),
                has_overflown: AtomicBool::new(false),
                is_closed: AtomicBool::new(false),
            }),
            writer: Mutex::default(),
        })
    }

    /// Starts the task that settles, if there is none, or its runtime has ended.
    fn start_writer(&self) {
        let mut writer = lock(&self.writer);
        if writer.as_ref().is_some_and(|writer| !writer.is_finished()) {
            return;
        }
        // Outside of a runtime it waits for the next request.
        if let Ok(runtime) = Handle::try_current() {
            let task = runtime.spawn(Arc::clone(&self.shared).write());
            *writer = Some(task.abort_handle());
        }
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
        // The task settles what is left, and ends.
        self.shared.is_closed.store(true, Ordering::Release);
        self.shared.more.notify_one();
    }
}

impl LimitStore for RedisStore {
    fn reserve(&self, takes: Arc<[StoreTake]>) -> StoreFuture {
        self.start_writer();
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.reserve(&takes).await })
    }

    fn settle(&self, take: StoreTake) {
        if !self.shared.unsettled.add(take)
            && !self.shared.has_overflown.swap(true, Ordering::Relaxed)
        {
            error!(
                target: "tower_model_route::limit",
                store = ?self,
                "too much waits to be settled in Redis: some is lost",
            );
        }
        self.start_writer();
        self.shared.more.notify_one();
    }
}

impl Shared {
    async fn reserve(&self, takes: &[StoreTake]) -> Result<Vec<StoreLevel>, BoxError> {
        let mut connection = self.connection()?;
        let answer: Vec<i64> = call(&self.script, takes, Mode::Reserve)
            .invoke_async(&mut connection)
            .await?;
        levels(&answer).ok_or_else(|| UnusableBucket.into())
    }

    /// A handle of the one connection, which connects by itself.
    fn connection(&self) -> Result<ConnectionManager, RedisError> {
        let mut connection = lock(&self.connection);
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let new = ConnectionManager::new_lazy_with_config(self.client.clone(), config)?;
        *connection = Some(new.clone());
        Ok(new)
    }

    /// Connects, and makes the script known, so that a decision is one round trip.
    async fn prepare(&self) -> Result<(), RedisError> {
        let mut connection = self.connection()?;
        self.script.load_async(&mut connection).await.map(drop)
    }

    /// Settles what there is, until the store is gone and nothing is left.
    async fn write(self: Arc<Self>) {
        // Connecting goes on here where no request waits for it.
        _ = self.prepare().await;
        loop {
            while let Some(take) = self.unsettled.next() {
                self.write_one(take).await;
            }
            if self.is_closed.load(Ordering::Acquire) {
                return;
            }
            self.more.notified().await;
        }
    }

    async fn write_one(&self, take: StoreTake) {
        match self.settle(&take).await {
            Ok(answer) if levels(&answer).is_some() => {}
            Ok(_) => warn!(
                target: "tower_model_route::limit",
                key = &*take.key,
                "a key of a limit holds something else: what a request has used is not settled",
            ),
            // Whether Redis has done it is not known. What was used is counted at least once, and
            // what was not used is given back at most once.
            Err(_) => {
                if take.amount > 0 {
                    _ = self.unsettled.add(take);
                }
                sleep(PATIENCE).await;
            }
        }
    }

    async fn settle(&self, take: &StoreTake) -> Result<Vec<i64>, RedisError> {
        let mut connection = self.connection()?;
        call(&self.script, std::slice::from_ref(take), Mode::Settle)
            .invoke_async(&mut connection)
            .await
    }
}

impl fmt::Debug for RedisStore {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.shared.client.get_connection_info().addr().to_string();
        f.debug_tuple("RedisStore").field(&address).finish()
    }
}
