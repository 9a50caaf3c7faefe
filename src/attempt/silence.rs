//! How long the engine may pause in the middle of an answer.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// Measures a silence from the first poll that finds nothing to read.
///
/// A client that reads slowly does not poll, so its own pauses do not count.
#[derive(Debug)]
pub(super) struct Silence {
    timeout: Duration,
    /// Made at the first silence, and reused for later ones.
    sleep: Option<Pin<Box<Sleep>>>,
    is_silent: bool,
}

impl Silence {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            sleep: None,
            is_silent: false,
        }
    }

    /// The engine has sent something, which ends the silence.
    pub(super) fn broken(&mut self) {
        self.is_silent = false;
    }

    /// Ready once the silence has lasted too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep(self.timeout)));
        if !self.is_silent {
            self.is_silent = true;
            if let Some(until) = Instant::now().checked_add(self.timeout) {
                sleep.as_mut().reset(until);
            }
        }
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(())
    }
}
