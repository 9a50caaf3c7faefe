//! How long an answer may go on without progress.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use super::alarm::Alarm;

/// By how much an alarm may be late.
const LATE: Duration = Duration::from_millis(100);

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
    alarm: Alarm,
}

impl Silence {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            waited: Duration::ZERO,
            since: None,
            alarm: Alarm::default(),
        }
    }

    /// The engine has sent something, which is progress or not.
    pub(super) fn broken(&mut self, by_progress: bool) {
        let since = self.since.take();
        if by_progress {
            self.waited = Duration::ZERO;
        } else if let Some(since) = since {
            let waited = self.waited.saturating_add(since.elapsed());
            // Who reads would have heard the alarm: beyond that it was the client who paused.
            if waited <= self.timeout.saturating_add(LATE) {
                self.waited = waited;
            }
        }
    }

    /// Ready once it has lasted too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let left = self.timeout.saturating_sub(self.waited);
        match since.checked_add(left) {
            Some(until) => self.alarm.poll(until, cx),
            None => Poll::Pending,
        }
    }
}
