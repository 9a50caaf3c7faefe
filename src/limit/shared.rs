//! Asking a store, which may be slow or fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::store::{LimitStore, StoreLevel, StoreTake, UnusableBucket};
#[cfg(not(feature = "redis"))]
use crate::config::RateLimit;
use crate::{error::BoxError, pieces::lock};

/// The longest that a request waits for a store.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long a store is left alone after it has failed.
const PAUSE: Duration = Duration::from_secs(1);

/// A store, and how it does.
#[derive(Debug)]
pub(crate) struct SharedStore {
    store: Arc<dyn LimitStore>,
    /// Whether its failure was said.
    has_failed: AtomicBool,
    /// Whether it was said that some buckets can't be used.
    has_unusable: AtomicBool,
    /// When it may be asked again.
    paused: std::sync::Mutex<Option<Instant>>,
}

/// The store that a limit names: none is built.
#[cfg(not(feature = "redis"))]
pub(crate) fn store_of(_limit: &RateLimit) -> Option<Arc<SharedStore>> {
    None
}

impl SharedStore {
    pub(crate) fn new(store: Arc<dyn LimitStore>) -> Arc<Self> {
        Arc::new(Self {
            store,
            has_failed: AtomicBool::new(false),
            has_unusable: AtomicBool::new(false),
            paused: std::sync::Mutex::default(),
        })
    }

    /// `None` if it has failed, now or a moment ago.
    pub(super) async fn reserve(&self, takes: Arc<[StoreTake]>) -> Option<Vec<StoreLevel>> {
        if self.is_paused() {
            return None;
        }
        let count = takes.len();
        let asked = timeout(PATIENCE, self.store.reserve(Arc::clone(&takes))).await;
        let levels = asked.unwrap_or_else(|_| Err("it has not answered in 50 ms".into()));
        match levels {
            Ok(levels) if levels.len() == count => {
                self.answered();
                Some(levels)
            }
            Ok(_) => {
                self.failed(&"it has not said how each bucket is".into());
                None
            }
            Err(error) if error.is::<UnusableBucket>() => {
                self.failed_for(&takes, &error);
                None
            }
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    pub(super) fn settle(&self, take: StoreTake) {
        self.store.settle(take);
    }

    /// Whether it is left alone. When that time has passed, one request tries it, and the others
    /// wait until that one knows.
    fn is_paused(&self) -> bool {
        if !self.has_failed.load(Ordering::Relaxed) {
            return false;
        }
        let mut paused = lock(&self.paused);
        let now = Instant::now();
        match *paused {
            Some(until) if now < until => true,
            _ => {
                *paused = Some(now + PAUSE);
                false
            }
        }
    }

    fn answered(&self) {
        if self.has_failed.swap(false, Ordering::Relaxed) {
            info!(target: "tower_model_route::limit", store = ?self.store, "the store of limits answers again");
        }
    }

    /// These buckets can't be used; others can.
    fn failed_for(&self, takes: &[StoreTake], error: &BoxError) {
        self.answered();
        if !self.has_unusable.swap(true, Ordering::Relaxed) {
            let keys: Vec<&str> = takes.iter().map(|take| &*take.key).collect();
            warn!(
                target: "tower_model_route::limit",
                store = ?self.store,
                keys = keys.join(" "),
                error = &**error as &dyn std::error::Error,
                "a bucket in the store of limits can't be used: its limit goes by its `on_store_failure`",
            );
        }
    }

    fn failed(&self, error: &BoxError) {
        *lock(&self.paused) = Some(Instant::now() + PAUSE);
        if !self.has_failed.swap(true, Ordering::Relaxed) {
            warn!(
                target: "tower_model_route::limit",
                store = ?self.store,
                error = &**error as &dyn std::error::Error,
                "the store of limits fails: each limit goes by its `on_store_failure`",
            );
        }
    }
}
