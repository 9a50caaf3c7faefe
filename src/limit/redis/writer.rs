//! The task that writes to Redis in the background.

use std::{
    pin::pin,
    sync::{Arc, Mutex, Weak, atomic::Ordering},
};

use redis::RedisError;
use tokio::{runtime::Handle, time::sleep};
use tracing::warn;

use super::{
    bindings,
    script::Mode,
    shared::{PATIENCE, Shared, is_of_script},
    slot::by_slot,
};
use crate::{
    limit::{
        bindings::Bind,
        store::{StoreLevel, StoreTake},
    },
    pieces::lock,
};

/// All that may have something to write.
static ALL: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// What became of some of what waits.
enum Written {
    /// There was nothing.
    Nothing,
    Some,
    /// It waits again.
    Failed,
}

/// Returns once nothing waits in any store of this process.
pub(super) async fn settled() {
    let all: Vec<_> = lock(&ALL).iter().filter_map(Weak::upgrade).collect();
    for shared in all {
        shared.settled().await;
    }
}

impl Shared {
    /// Makes it known to [`settled`].
    pub(super) fn enlist(self: &Arc<Self>) {
        let mut all = lock(&ALL);
        all.retain(|shared| shared.strong_count() > 0);
        all.push(Arc::downgrade(self));
    }

    /// Starts the task, if there is none, or its runtime has ended.
    pub(super) fn start_writer(self: &Arc<Self>) {
        let mut writer = lock(&self.writer);
        if writer.as_ref().is_some_and(|writer| !writer.is_finished()) {
            return;
        }
        // Outside of a runtime it waits for the next request.
        if let Ok(runtime) = Handle::try_current() {
            let task = runtime.spawn(Arc::clone(self).write());
            *writer = Some(task.abort_handle());
        }
    }

    pub(super) async fn settled(self: &Arc<Self>) {
        loop {
            let mut written = pin!(self.written.notified());
            written.as_mut().enable();
            if !self.has_more().await {
                return;
            }
            self.start_writer();
            written.await;
        }
    }

    async fn has_more(&self) -> bool {
        // Nothing is on its way.
        let _writing = self.writing.lock().await;
        !(self.unsettled.is_empty() && self.unbound.is_empty())
    }

    /// Connects, and makes the script known, so that a decision is one round trip.
    async fn prepare(&self) -> Result<(), RedisError> {
        let mut connection = self.connection()?;
        let loaded = self.script.load_async(&mut connection).await;
        self.heard(loaded).map(drop)
    }

    /// Writes what there is, until the store is gone and nothing is left, or Redis fails then.
    async fn write(self: Arc<Self>) {
        // Connecting goes on here where no request waits for it.
        _ = self.prepare().await;
        loop {
            let is_closed = self.is_closed.load(Ordering::Acquire);
            match (self.write_some().await, is_closed) {
                (Written::Some, _) => {}
                (Written::Nothing, true) => return,
                (Written::Nothing, false) => self.more.notified().await,
                (Written::Failed, true) => return self.give_up(),
                (Written::Failed, false) => sleep(PATIENCE).await,
            }
        }
    }

    fn give_up(&self) {
        warn!(
            target: "tower_model_route::limit",
            "Redis fails, and no limit uses it any more: usage is not settled",
        );
        self.unsettled.clear();
        self.unbound.clear();
        self.written.notify_waiters();
    }

    async fn write_some(&self) -> Written {
        let writing = self.writing.lock().await;
        let (takes, binds) = (self.unsettled.some(), self.unbound.some());
        if takes.is_empty() && binds.is_empty() {
            return Written::Nothing;
        }
        let has_answered = self.settle_all(takes).await;
        let has_answered = match has_answered {
            true => self.bind_all(binds).await,
            false => {
                self.unbound.again(binds);
                false
            }
        };
        drop(writing);
        self.written.notify_waiters();
        match has_answered {
            true => Written::Some,
            false => Written::Failed,
        }
    }

    /// Whether Redis has answered. Those who bound the sessions are told where they are; otherwise
    /// all of it waits again.
    async fn bind_all(&self, binds: Vec<Bind>) -> bool {
        let mut parts = by_slot(binds, |bind| &bind.key);
        while let Some(part) = parts.next() {
            match self.bind_in_one_slot(&part).await {
                Ok(bound) => {
                    for (bind, to) in part.iter().zip(&bound) {
                        bind.tell(to);
                    }
                }
                // It would fail again.
                Err(error) if is_of_script(&error) => {}
                Err(_) => {
                    self.unbound
                        .again(part.into_iter().chain(parts.flatten()).collect());
                    return false;
                }
            }
        }
        true
    }

    async fn bind_in_one_slot(&self, binds: &[Bind]) -> Result<Vec<String>, RedisError> {
        let mut connection = self.connection()?;
        let bound = bindings::call(&self.bind, binds)
            .invoke_async(&mut connection)
            .await;
        self.heard(bound)
    }

    /// Whether Redis has answered. Otherwise what was used waits again.
    async fn settle_all(&self, takes: Vec<StoreTake>) -> bool {
        let mut parts = by_slot(takes, |take| &take.key);
        while let Some(part) = parts.next() {
            if self.settle_in_one_slot(&part).await {
                continue;
            }
            // Whether Redis has done it is not known. What was used is counted at least once, and
            // what was not used is given back at most once.
            let again = part.into_iter().filter(|take| take.amount > 0);
            for take in again.chain(parts.flatten()) {
                _ = self.unsettled.add(take);
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
                        "the key of a limit holds something else: usage is not settled",
                    );
                }
                true
            }
            Err(error) if is_of_script(&error) => {
                warn!(
                    target: "tower_model_route::limit",
                    error = &error as &dyn std::error::Error,
                    keys = takes.len(),
                    "Redis refuses a settlement: it is lost",
                );
                true
            }
            Err(_) => false,
        }
    }
}
