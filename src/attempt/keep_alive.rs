//! Comments to a client that waits for an event.

use std::{
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::alarm::Alarm;
use crate::events::{Dialect, Format, keep_alive};

/// Ready each time the client has received nothing for an interval.
#[derive(Debug)]
pub(crate) struct KeepAlive {
    interval: Duration,
    comment: Bytes,
    /// When the client got something last; `None` if that was since the last look at the clock.
    last: Option<Instant>,
    alarm: Alarm,
}

impl KeepAlive {
    /// `None` if this dialect has no streams of server-sent events.
    pub(crate) fn new(interval: Duration, dialect: Dialect) -> Option<Self> {
        Some(Self {
            interval,
            comment: keep_alive(dialect, Format::Sse)?,
            last: None,
            alarm: Alarm::default(),
        })
    }

    /// The client gets something.
    pub(super) fn sent(&mut self) {
        self.last = None;
    }

    /// Ready with the comment.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let last = *self.last.get_or_insert_with(Instant::now);
        let Some(at) = last.checked_add(self.interval) else {
            return Poll::Pending;
        };
        ready!(self.alarm.poll(at, cx));
        self.last = None;
        Poll::Ready(self.comment.clone())
    }
}
