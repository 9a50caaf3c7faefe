//! When a missing first event counts as a failure.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Ready once the attempt has been without a first event for too long.
#[derive(Debug)]
pub(crate) struct Slow {
    at: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Slow {
    pub(crate) fn new(at: Instant) -> Self {
        Self { at, sleep: None }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(self.at)));
        sleep.as_mut().poll(cx)
    }
}
