//! Waiting for an endpoint of a ModelServer to become free.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, timeout_at},
};

/// The waiting requests, in the order in which they arrived.
///
/// Only the first of them looks for a free endpoint: each request that ends
/// wakes it, and no later request in the queue can take the freed endpoint first.
///
/// Retries wait beside the line. They can't go where they have failed, so in the line
/// they would hold up requests that can; and they have waited before.
#[derive(Debug)]
pub(super) struct Queue {
    /// Those in the line.
    waiting: AtomicUsize,
    /// The retries beside it.
    retries: AtomicUsize,
    /// Its permit is held by the first request; the waiters of a fair semaphore are a queue.
    head: Semaphore,
    freed: Notify,
    freed_for_retries: Notify,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            retries: AtomicUsize::new(0),
            head: Semaphore::new(1),
            freed: Notify::new(),
            freed_for_retries: Notify::new(),
        }
    }
}

impl Queue {
    /// The number of all that wait.
    pub(super) fn all(&self) -> usize {
        self.len() + self.retries.load(Ordering::Relaxed)
    }

    /// The number of those in the line.
    pub(super) fn len(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Whether one more may wait if at most `max` may.
    pub(super) fn has_room(&self, max: usize) -> bool {
        self.len() + self.retries.load(Ordering::SeqCst) < max
    }

    /// A place at the end, unless `max` requests are already waiting.
    pub(super) fn join(&self, max: usize) -> Option<Waiting<'_>> {
        let max = max.saturating_sub(self.retries.load(Ordering::SeqCst));
        // A `Waiting` that is dropped is uncounted, so it must not be made before.
        counted(&self.waiting, max).then(|| Waiting {
            queue: self,
            is_retry: false,
        })
    }

    /// A place beside the line, unless `max` requests are already waiting.
    pub(super) fn join_again(&self, max: usize) -> Option<Waiting<'_>> {
        let max = max.saturating_sub(self.len());
        counted(&self.retries, max).then(|| Waiting {
            queue: self,
            is_retry: true,
        })
    }

    /// Wakes the first waiting request and the retries, because an endpoint may have
    /// become free.
    ///
    /// A waiting request adds itself to `waiting` before it reads the in-flight
    /// counts, and an ending request lowers its in-flight count before it calls
    /// this. All of these are SeqCst, in one total order, so at least one of the
    /// two sees the other and no wake-up is lost.
    pub(super) fn freed(&self) {
        if self.len() > 0 {
            self.freed.notify_one();
        }
        if self.retries.load(Ordering::SeqCst) > 0 {
            self.freed_for_retries.notify_waiters();
        }
    }
}

/// Counts one more, unless `max` already are.
fn counted(count: &AtomicUsize, max: usize) -> bool {
    let counted = count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| {
        (count < max).then_some(count + 1)
    });
    counted.is_ok()
}

/// A place in the queue, given up on drop.
pub(super) struct Waiting<'a> {
    queue: &'a Queue,
    is_retry: bool,
}

impl Waiting<'_> {
    /// Waits until this place is the first, or is that of a retry, and `take` returns
    /// something.
    ///
    /// `take` also says when to look again although nothing has become free.
    pub(super) async fn wait<T>(
        self,
        mut take: impl FnMut() -> Result<T, Option<Instant>>,
    ) -> Option<T> {
        let Self { queue, is_retry } = self;
        let (freed, _head) = match is_retry {
            true => (&queue.freed_for_retries, None),
            false => (&queue.freed, Some(queue.head.acquire().await.ok()?)),
        };
        loop {
            let mut freed = std::pin::pin!(freed.notified());
            freed.as_mut().enable();
            match take() {
                Ok(taken) => return Some(taken),
                Err(None) => freed.await,
                // Whichever comes first: then it looks again.
                Err(Some(until)) => _ = timeout_at(until, freed).await,
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let count = match self.is_retry {
            true => &self.queue.retries,
            false => &self.queue.waiting,
        };
        count.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready_eq, task};

    use super::*;

    #[test]
    fn no_more_wait_than_may() {
        let queue = Queue::default();
        assert!(queue.join(0).is_none());
        let waiting = [queue.join(2).unwrap(), queue.join(2).unwrap()];
        assert!(queue.join(2).is_none());
        assert_eq!(queue.len(), 2);
        drop(waiting);
        assert_eq!(queue.len(), 0);
        assert!(queue.join(1).is_some());
    }

    #[test]
    fn only_the_first_looks_and_what_it_leaves_is_for_the_next() {
        let queue = Queue::default();
        let mut first = task::spawn(queue.join(2).unwrap().wait(|| Err::<u32, _>(None)));
        let mut second = task::spawn(queue.join(2).unwrap().wait(|| Ok(2)));
        assert_pending!(first.poll());
        assert_pending!(second.poll());
        queue.freed();
        assert!(first.is_woken() && !second.is_woken());
        drop(first);
        assert!(second.is_woken());
        assert_ready_eq!(second.poll(), Some(2));
        drop(second);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_slot_freed_between_two_looks_is_seen() {
        let queue = Queue::default();
        let mut looks = 0;
        let mut waiting = task::spawn(queue.join(1).unwrap().wait(|| {
            looks += 1;
            if looks == 1 {
                queue.freed();
                return Err(None);
            }
            Ok(looks)
        }));
        assert_ready_eq!(waiting.poll(), Some(2));
    }
}
