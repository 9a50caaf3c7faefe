//! How long an answer that has begun may be silent.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// Measures a silence from when somebody first waits for what comes next.
///
/// A client that reads slowly does not wait, so its pauses do not count.
#[derive(Debug)]
pub(super) struct Silence {
    timeout: Duration,
    /// Made at the first silence, and used again for the next.
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

    /// Something came.
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
