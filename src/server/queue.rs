//! Waiting for an endpoint of a ModelServer to become free.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, Semaphore};

/// The waiting requests, in the order in which they arrived.
///
/// Only the first of them looks for a free endpoint: each request that ends
/// wakes it, and no later request in the queue can take the freed endpoint first.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: AtomicUsize,
    /// Its permit is held by the first request; the waiters of a fair semaphore are a queue.
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

    /// A place at the end, unless `max` requests are already waiting.
    pub(super) fn join(&self, max: usize) -> Option<Waiting<'_>> {
        let joined = self
            .waiting
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |waiting| {
                (waiting < max).then_some(waiting + 1)
            });
        joined.is_ok().then(|| Waiting(self))
    }

    /// Wakes the first waiting request, because an endpoint has become free.
    ///
    /// A waiting request adds itself to `waiting` before it reads the in-flight
    /// counts, and an ending request lowers its in-flight count before it calls
    /// this. All of these are SeqCst, in one total order, so at least one of the
    /// two sees the other and no wake-up is lost.
    pub(super) fn freed(&self) {
        if self.len() > 0 {
            self.freed.notify_one();
        }
    }
}

/// A place in the queue, given up on drop.
pub(super) struct Waiting<'a>(&'a Queue);

impl Waiting<'_> {
    /// Waits until this place is the first and `take` returns something.
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

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
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
        let mut first = task::spawn(queue.join(2).unwrap().wait(|| None::<u32>));
        let mut second = task::spawn(queue.join(2).unwrap().wait(|| Some(2)));
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
                return None;
            }
            Some(looks)
        }));
        assert_ready_eq!(waiting.poll(), Some(2));
    }
}
