//! Comments to a client that waits for an event.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::events::{Dialect, Format, keep_alive};

/// Ready each time that the client has got nothing for an interval.
#[derive(Debug)]
pub(crate) struct KeepAlive {
    interval: Duration,
    comment: Bytes,
    /// When the client got something last; `None` if that was since the last look at the clock.
    last: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl KeepAlive {
    /// `None` if this dialect has no streams of server-sent events.
    pub(crate) fn new(interval: Duration, dialect: Dialect) -> Option<Self> {
        Some(Self {
            interval,
            comment: keep_alive(dialect, Format::Sse)?,
            last: None,
            sleep: None,
        })
    }

    /// The client gets something.
    pub(super) fn sent(&mut self) {
        self.last = None;
    }

    /// Ready with the comment.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        loop {
            let last = *self.last.get_or_insert_with(Instant::now);
            let Some(at) = last.checked_add(self.interval) else {
                return Poll::Pending;
            };
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
            // Most often it was set for an earlier time, and is set anew only once that has come.
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= at {
                self.last = None;
                return Poll::Ready(self.comment.clone());
            }
            sleep.as_mut().reset(at);
        }
    }
}
