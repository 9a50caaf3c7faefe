//! One Redis: the connection, and what waits to be written.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{
    Client, ErrorKind, RedisError, Script, ServerErrorKind,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::{sync::Notify, task::AbortHandle};
use tracing::error;

use super::{
    bindings::{self, Unbound},
    pending::Unsettled,
    script::{Mode, call, levels, script},
    slot::in_one_slot,
};
use crate::{
    limit::store::{StoreLevel, StoreTake, is_refused},
    pieces::lock,
};

/// The longest that connecting, or settling, may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// What a store and the task that writes for it share.
pub(super) struct Shared {
    pub(super) client: Client,
    connection: Mutex<Option<ConnectionManager>>,
    pub(super) script: Script,
    pub(super) bind: Script,
    pub(super) unsettled: Unsettled,
    pub(super) unbound: Unbound,
    /// The task that settles; it ends with the store.
    pub(super) writer: Mutex<Option<AbortHandle>>,
    /// There is more for it.
    pub(super) more: Notify,
    /// Held while something is on its way to Redis, and neither `unsettled` nor `unbound` has it.
    pub(super) writing: tokio::sync::Mutex<()>,
    /// Something was on its way, and is no more.
    pub(super) written: Notify,
    pub(super) has_overflown: AtomicBool,
    pub(super) is_closed: AtomicBool,
}

impl Shared {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            connection: Mutex::default(),
            script: script(),
            unsettled: Unsettled::default(),
            bind: bindings::script(),
            unbound: Unbound::default(),
            writer: Mutex::default(),
            more: Notify::new(),
            writing: tokio::sync::Mutex::default(),
            written: Notify::new(),
            has_overflown: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Usually all are in one slot, and it is one call. If one of several refuses, or fails, what the
    /// others have taken is given back.
    pub(super) async fn reserve(&self, takes: &[StoreTake]) -> Result<Vec<StoreLevel>, RedisError> {
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

    pub(super) fn settle_later(&self, take: StoreTake) {
        if !self.unsettled.add(take) && !self.has_overflown.swap(true, Ordering::Relaxed) {
            error!(
                target: "tower_model_route::limit",
                "too many settlements wait for Redis: some are lost",
            );
        }
        self.more.notify_one();
    }

    /// One call for buckets that are in one slot.
    pub(super) async fn ask(
        &self,
        takes: &[StoreTake],
        mode: Mode,
    ) -> Result<Vec<StoreLevel>, RedisError> {
        let mut connection = self.connection()?;
        let answer: Result<Vec<i64>, _> = call(&self.script, takes, mode)
            .invoke_async(&mut connection)
            .await;
        Ok(levels(&self.heard(answer)?))
    }

    /// What an answer says of the connection: the next call makes a new one if this one has answered
    /// nothing for so long that its other end may be gone, or is refused for what it is. A password may
    /// be right by then; and after a failover the address leads to another server, while the old one, a
    /// replica now, ends no connection.
    pub(super) fn heard<T>(&self, answer: Result<T, RedisError>) -> Result<T, RedisError> {
        // One that is known to be lost is made anew by the manager.
        if let Err(error) = &answer
            && (error.is_timeout() || !error.is_io_error())
            && !is_of_script(error)
        {
            *lock(&self.connection) = None;
        }
        answer
    }

    /// A handle of the one connection, which connects by itself.
    pub(super) fn connection(&self) -> Result<ConnectionManager, RedisError> {
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
}

/// Whether the script has failed with these arguments, as it would again.
///
/// In Redis 6 that is also how a replica refuses what a script would write.
pub(super) fn is_of_script(error: &RedisError) -> bool {
    let text = error.to_string();
    error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError)
        && text.contains("user_script")
        && !text.contains("READONLY")
}
