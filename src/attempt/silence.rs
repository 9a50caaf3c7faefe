//! How long an answer may go on without progress.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Measures the time in which nothing was there to be read, from one progress to the next.
///
/// A client that reads slowly does not poll, so its own pauses do not count.
#[derive(Debug)]
pub(super) struct Silence {
    timeout: Duration,
    /// What of it has passed before other bytes came that are no progress.
    waited: Duration,
    /// When the wait for the next bytes began.
    since: Option<Instant>,
    /// Made at the first wait, and reused for later ones.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            waited: Duration::ZERO,
            since: None,
            sleep: None,
        }
    }

    /// The engine has sent something, which is progress or not.
    pub(super) fn broken(&mut self, by_progress: bool) {
        let since = self.since.take();
        if by_progress {
            self.waited = Duration::ZERO;
        } else if let Some(since) = since {
            self.waited = self.waited.saturating_add(since.elapsed());
        }
    }

    /// Ready once it has lasted too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let left = self.timeout.saturating_sub(self.waited);
        let Some(until) = since.checked_add(left) else {
            return Poll::Pending;
        };
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        // Most often it was set for an earlier wait, and has time: it is set anew only once that
        // time is over, and not for each event of a stream.
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= until {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(until);
        }
    }
}
