//! Asking a store, which may be slow or fail.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, timeout, timeout_at},
};
use tracing::{info, warn};

use super::store::{LimitStore, StoreFuture, StoreLevel, StoreTake, is_refused};
#[cfg(not(feature = "redis"))]
use crate::config::RateLimit;
use crate::{error::BoxError, pieces::lock};

/// The longest that a request waits for a store.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long a store is left alone after it has failed.
const PAUSE: Duration = Duration::from_secs(1);

/// How long an answer is waited for that is for nobody any more.
const LAST: Duration = Duration::from_secs(5);

type Answer = Result<Vec<StoreLevel>, BoxError>;

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
    pub(super) async fn reserve(
        self: &Arc<Self>,
        takes: Arc<[StoreTake]>,
    ) -> Option<Vec<StoreLevel>> {
        if self.is_paused() {
            return None;
        }
        let mut waiting = Waiting(Some(Question {
            answer: self.store.reserve(Arc::clone(&takes)),
            takes: Arc::clone(&takes),
            store: Arc::clone(self),
            until: Instant::now() + PATIENCE,
        }));
        let answer = timeout(PATIENCE, &mut waiting).await;
        self.heard(&takes, answer.unwrap_or_else(|_| late()))
    }

    /// What it has answered, which says how it does.
    fn heard(&self, takes: &[StoreTake], answer: Answer) -> Option<Vec<StoreLevel>> {
        match answer {
            Ok(levels) if levels.len() == takes.len() => {
                self.answered(takes, &levels);
                Some(levels)
            }
            Ok(_) => {
                self.failed(&"it has not answered for each bucket".into());
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
    pub(super) fn is_paused(&self) -> bool {
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

    pub(super) fn answered(&self, takes: &[StoreTake], levels: &[StoreLevel]) {
        if self.has_failed.swap(false, Ordering::Relaxed) {
            info!(target: "tower_model_route::limit", store = ?self.store, "the store of limits answers again");
        }
        if levels.contains(&StoreLevel::Unusable)
            && !self.has_unusable.swap(true, Ordering::Relaxed)
        {
            let unusable = takes
                .iter()
                .zip(levels)
                .filter(|(_, level)| **level == StoreLevel::Unusable);
            let keys: Vec<&str> = unusable.map(|(take, _)| &*take.key).collect();
            warn!(
                target: "tower_model_route::limit",
                store = ?self.store,
                keys = keys.join(" "),
                "a bucket in the store of limits can't be used: its limit follows its \
                 `on_store_failure`",
            );
        }
    }

    pub(super) fn failed(&self, error: &BoxError) {
        *lock(&self.paused) = Some(Instant::now() + PAUSE);
        if !self.has_failed.swap(true, Ordering::Relaxed) {
            warn!(
                target: "tower_model_route::limit",
                store = ?self.store,
                error = &**error as &dyn std::error::Error,
                "the store of limits fails: each limit follows its `on_store_failure`",
            );
        }
    }
}

fn late() -> Answer {
    Err("it has not answered in 50 ms".into())
}

/// An answer that a request waits for. If it leaves before, or has waited for too long, what the
/// store takes for it is given back.
struct Waiting(Option<Question>);

struct Question {
    store: Arc<SharedStore>,
    takes: Arc<[StoreTake]>,
    answer: StoreFuture,
    /// When the answer is late.
    until: Instant,
}

impl Future for Waiting {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let Some(question) = &mut self.0 else {
            return Poll::Ready(late());
        };
        let answer = ready!(question.answer.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(answer)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let (Some(question), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(question.give_back());
        }
    }
}

impl Question {
    /// Waits for the answer, and gives back what was taken.
    async fn give_back(mut self) {
        let levels = match timeout_at(self.until, &mut self.answer).await {
            // The next requests want to know how the store does.
            Ok(answer) => self.store.heard(&self.takes, answer),
            Err(_) => {
                _ = self.store.heard(&self.takes, late());
                let answer = timeout(LAST, self.answer).await;
                answer.ok().and_then(Result::ok)
            }
        };
        let levels = levels.unwrap_or_default();
        if is_refused(&self.takes, &levels) {
            return;
        }
        for (take, level) in self.takes.iter().zip(levels) {
            if matches!(level, StoreLevel::Fits(_)) {
                self.store.settle(take.given_back());
            }
        }
    }
}
