//! How much is inflated or compressed before other tasks may run.

use std::{
    pin::pin,
    task::{Context, Poll},
};

/// The part of a long computation that one poll does.
///
/// tokio runs a task until it returns, and nothing else on that worker meanwhile.
#[derive(Clone, Debug, Default)]
pub(super) struct Slice {
    used: usize,
}

impl Slice {
    /// In bytes that come out of a decoder or go in: 0.1 to 0.5 ms, of which coming back takes a
    /// hundredth.
    const BYTES: usize = 128 << 10;

    /// Whether this costs as much as is left of the slice; the next one then begins.
    pub(super) fn is_used_up_by(&mut self, cost: usize) -> bool {
        self.used += cost;
        let is_used_up = self.used >= Self::BYTES;
        if is_used_up {
            self.used = 0;
        }
        is_used_up
    }

    /// Has the task polled again once all others that are ready have run, and tokio has looked for
    /// new events. A mere wake-up would come before the events.
    pub(super) fn give_way<T>(cx: &mut Context<'_>) -> Poll<T> {
        _ = pin!(tokio::task::yield_now()).poll(cx);
        Poll::Pending
    }
}
