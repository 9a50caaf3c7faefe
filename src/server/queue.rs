//! Waiting for an endpoint of a ModelServer to become free.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, Semaphore};

/// The requests that wait, in the order in which they came.
///
/// Only the first of them looks for a free endpoint: it is woken by each
/// request that ends, and no other can take what it was woken for.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: AtomicUsize,
    /// Held by the first; a fair semaphore's waiters are a queue.
    head: Semaphore,
    freed: Notify,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            head: Semaphore::new(1),
            freed: Notify::new(),
        }
    }
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// A place at the end, unless `max` have one already.
    pub(super) fn join(&self, max: usize) -> Option<Place<'_>> {
        let joined = self
            .waiting
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |waiting| {
                (waiting < max).then_some(waiting + 1)
            });
        joined.is_ok().then_some(Place(self))
    }

    /// An endpoint has become free.
    ///
    /// Who waits counts itself before it looks at what is in flight, and who
    /// ends uncounts itself before it comes here, all in one total order: so
    /// one of the two sees the other.
    pub(super) fn freed(&self) {
        if self.len() > 0 {
            self.freed.notify_one();
        }
    }
}

/// A place in the queue, which is given up when it is dropped.
pub(super) struct Place<'a>(&'a Queue);

impl Place<'_> {
    /// Waits until it is the first and `take` has something for it.
    pub(super) async fn wait<T>(self, mut take: impl FnMut() -> Option<T>) -> Option<T> {
        let _head = self.0.head.acquire().await.ok()?;
        loop {
            let mut freed = std::pin::pin!(self.0.freed.notified());
            freed.as_mut().enable();
            if let Some(taken) = take() {
                return Some(taken);
            }
            freed.await;
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
