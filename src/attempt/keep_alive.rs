//! Comments to a client that waits for an event.

use std::{
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::alarm::Alarm;
use crate::events::{Dialect, keep_alive};

/// Ready each time the client has received nothing for an interval.
#[derive(Debug)]
pub(crate) struct KeepAlive {
    interval: Duration,
    dialect: Dialect,
    /// When the client got something last; `None` if that was since the last look at the clock.
    last: Option<Instant>,
    alarm: Alarm,
}

impl KeepAlive {
    pub(crate) fn new(interval: Duration, dialect: Dialect) -> Self {
        Self {
            interval,
            dialect,
            last: None,
            alarm: Alarm::default(),
        }
    }

    /// The client gets something.
    pub(super) fn sent(&mut self) {
        self.last = None;
    }

    /// Ready with the comment for a stream whose events so far had ids or not.
    pub(crate) fn poll(&mut self, has_ids: bool, cx: &mut Context<'_>) -> Poll<Bytes> {
        let last = *self.last.get_or_insert_with(Instant::now);
        let Some(at) = last.checked_add(self.interval) else {
            return Poll::Pending;
        };
        ready!(self.alarm.poll(at, cx));
        self.last = None;
        Poll::Ready(keep_alive(self.dialect, has_ids))
    }
}
