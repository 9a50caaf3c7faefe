//! When a missing first event counts as a failure.

use std::task::{Context, Poll};

use tokio::time::Instant;

use super::alarm::Alarm;

/// Ready once the attempt has been without a first event for too long.
#[derive(Debug)]
pub(crate) struct Slow {
    at: Instant,
    alarm: Alarm,
}

impl Slow {
    pub(crate) fn new(at: Instant) -> Self {
        let alarm = Alarm::default();
        Self { at, alarm }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.poll(self.at, cx)
    }
}
