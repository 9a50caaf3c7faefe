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
    Client, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, Script, ServerErrorKind,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::{runtime::Handle, sync::Notify, task::AbortHandle, time::sleep};
use tracing::{error, warn};

use super::{
    bindings::{self, Unbound},
    pending::Unsettled,
    script::{Mode, call, levels, script},
    slot::{in_one_slot, slot},
};
use crate::{
    config::{BuildError, MistakeKind},
    limit::bindings::Bind,
    limit::store::{LimitStore, StoreFuture, StoreLevel, StoreTake, is_refused},
    pieces::lock,
};

/// The longest that connecting, or settling, may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Keeps limits in one Redis, or a server that speaks its protocol and has Lua (Valkey).
///
/// Each decision is one call of a script, by the clock of Redis: gateways share a limit
/// exactly, whatever their own clocks say. What an answer has really used is settled by a task that
/// the store starts when it is first asked: all that waits in one call, or 256 buckets of it.
///
/// It has one connection to one server, and is no client of a cluster. One with a single shard, or
/// behind a proxy, will do: the limits of a route are in one slot, and a call is for one slot. With
/// [`kthena_keys`](crate::RateLimit::kthena_keys) that is a call for each limit.
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
    bind: Script,
    unbound: Unbound,
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
                bind: bindings::script(),
                unbound: Unbound::default(),
                more: Notify::new(),
                has_overflown: AtomicBool::new(false),
                is_closed: AtomicBool::new(false),
            }),
            writer: Mutex::default(),
        })
    }

    /// Writes the binding of a session a little later.
    pub(super) fn bind_later(&self, bind: Bind) {
        self.start_writer();
        self.shared.unbound.add(bind);
        self.shared.more.notify_one();
    }

    /// Where a session is bound.
    pub(super) async fn look_up(&self, key: &str) -> Result<Option<String>, RedisError> {
        self.start_writer();
        let mut connection = self.shared.connection()?;
        redis::cmd("GET")
            .arg(key)
            .query_async(&mut connection)
            .await
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
        // The task settles what is left, and ends; also where Redis fails.
        self.shared.is_closed.store(true, Ordering::Release);
        self.shared.more.notify_one();
    }
}

impl LimitStore for RedisStore {
    fn reserve(&self, takes: Arc<[StoreTake]>) -> StoreFuture {
        self.start_writer();
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { Ok(shared.reserve(&takes).await?) })
    }

    fn settle(&self, take: StoreTake) {
        self.start_writer();
        self.shared.settle_later(take);
    }
}

impl Shared {
    /// Mostly all are in one slot, and it is one call. If one of several refuses, or fails, what the
    /// others have taken is given back.
    async fn reserve(&self, takes: &[StoreTake]) -> Result<Vec<StoreLevel>, RedisError> {
        let mut parts: Vec<(&[StoreTake], Vec<StoreLevel>)> = Vec::new();
        let mut asked = Ok(());
        for part in takes.chunk_by(in_one_slot) {
            match self.ask(part, Mode::Reserve).await {
                Ok(levels) => parts.push((part, levels)),
                Err(error) => {
                    asked = Err(error);
                    break;
                }
            }
        }
        if asked.is_err() || parts.iter().any(|(part, levels)| is_refused(part, levels)) {
            parts
                .iter_mut()
                .for_each(|(part, levels)| self.give_back(part, levels));
        }
        asked?;
        Ok(parts.into_iter().flat_map(|(_, levels)| levels).collect())
    }

    /// What was taken here; nothing if that was refused.
    fn give_back(&self, takes: &[StoreTake], levels: &mut [StoreLevel]) {
        if is_refused(takes, levels) {
            return;
        }
        for (take, level) in takes.iter().zip(levels) {
            if let StoreLevel::Fits(left) = level {
                *left = left.saturating_add(take.amount);
                self.settle_later(take.given_back());
            }
        }
    }

    /// One call for buckets that are in one slot.
    async fn ask(&self, takes: &[StoreTake], mode: Mode) -> Result<Vec<StoreLevel>, RedisError> {
        let mut connection = self.connection()?;
        let answer: Vec<i64> = call(&self.script, takes, mode)
            .invoke_async(&mut connection)
            .await?;
        Ok(levels(&answer))
    }

    fn settle_later(&self, take: StoreTake) {
        if !self.unsettled.add(take) && !self.has_overflown.swap(true, Ordering::Relaxed) {
            error!(
                target: "tower_model_route::limit",
                "too much waits to be settled in Redis: some is lost",
            );
        }
        self.more.notify_one();
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

    /// Settles what there is, until the store is gone and nothing is left, or Redis fails then.
    async fn write(self: Arc<Self>) {
        // Connecting goes on here where no request waits for it.
        _ = self.prepare().await;
        loop {
            let is_closed = self.is_closed.load(Ordering::Acquire);
            let (takes, binds) = (self.unsettled.some(), self.unbound.some());
            match (takes.is_empty() && binds.is_empty(), is_closed) {
                (true, true) => return,
                (true, false) => self.more.notified().await,
                (false, _) if self.write_all(takes, binds).await => {}
                (false, true) => {
                    warn!(
                        target: "tower_model_route::limit",
                        "Redis fails, and no limit uses it any more: what requests have used is not settled",
                    );
                    return;
                }
                (false, false) => sleep(PATIENCE).await,
            }
        }
    }

    /// Whether Redis has answered. Otherwise all of it waits again.
    async fn write_all(&self, takes: Vec<StoreTake>, binds: Vec<Bind>) -> bool {
        let is_settled = self.settle_all(takes).await;
        if is_settled {
            self.bind_all(binds).await
        } else {
            self.unbound.again(binds);
            false
        }
    }

    /// Whether Redis has answered. Those who bound the sessions are told where they are.
    async fn bind_all(&self, mut binds: Vec<Bind>) -> bool {
        binds.sort_by(|one, other| slot(&one.key).cmp(slot(&other.key)));
        let mut parts = binds.chunk_by(|one, other| slot(&one.key) == slot(&other.key));
        while let Some(part) = parts.next() {
            let answer: Result<Vec<String>, _> = match self.connection() {
                Ok(mut connection) => {
                    bindings::call(&self.bind, part)
                        .invoke_async(&mut connection)
                        .await
                }
                Err(error) => Err(error),
            };
            match answer {
                Ok(bound) => {
                    for (bind, to) in part.iter().zip(&bound) {
                        bind.tell(to);
                    }
                }
                // It would fail again.
                Err(error) if is_of_script(&error) => {}
                Err(_) => {
                    let rest = part.iter().chain(parts.flatten());
                    self.unbound.again(rest.cloned().collect());
                    return false;
                }
            }
        }
        true
    }

    /// Whether Redis has answered. Otherwise what was used waits again.
    async fn settle_all(&self, mut takes: Vec<StoreTake>) -> bool {
        takes.sort_by(|one, other| slot(&one.key).cmp(slot(&other.key)));
        let mut parts = takes.chunk_by(in_one_slot);
        while let Some(part) = parts.next() {
            if self.settle_in_one_slot(part).await {
                continue;
            }
            // Whether Redis has done it is not known. What was used is counted at least once, and
            // what was not used is given back at most once.
            let again = part.iter().filter(|take| take.amount > 0);
            for take in again.chain(parts.flatten()) {
                _ = self.unsettled.add(take.clone());
            }
            return false;
        }
        true
    }

    /// Whether Redis has answered.
    async fn settle_in_one_slot(&self, takes: &[StoreTake]) -> bool {
        match self.ask(takes, Mode::Settle).await {
            Ok(levels) => {
                let answers = takes.iter().zip(levels);
                for (take, _) in answers.filter(|(_, level)| *level == StoreLevel::Unusable) {
                    warn!(
                        target: "tower_model_route::limit",
                        key = &*take.key,
                        "a key of a limit holds something else: what a request has used is not settled",
                    );
                }
                true
            }
            Err(error) if is_of_script(&error) => {
                warn!(
                    target: "tower_model_route::limit",
                    error = &error as &dyn std::error::Error,
                    keys = takes.len(),
                    "Redis refuses what is to be settled: it is lost",
                );
                true
            }
            Err(_) => false,
        }
    }
}

/// Whether the script has failed with these arguments, as it would again.
fn is_of_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError)
        && error.to_string().contains("user_script")
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
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_gone_leaves_nothing_behind_while_redis_is_down() {
        let take = || StoreTake::new("{route}", 100, 3600 * PATIENCE, 7);
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = nobody.local_addr().unwrap().to_string();
        drop(nobody);
        let store = RedisStore::new(&address).unwrap();
        store.settle(take());
        sleep(3 * PATIENCE).await;
        let shared = Arc::downgrade(&store.shared);
        assert!(!shared.upgrade().unwrap().unsettled.some().is_empty());
        store.settle(take());
        drop(store);
        sleep(5 * PATIENCE).await;
        assert_eq!(shared.strong_count(), 0);
    }
}
