//! The rest of a request that is answered early is read within bounds, and thrown
//! away.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Buf;
use http_body::Body;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::upload::DrainLimits;

/// Reads the rest of a body before its answer.
///
/// A server that closes a connection with unread data resets it, and many clients then lose the
/// answer (RFC 9112 section 9.6).
pub(super) struct Rest {
    left: u64,
    clock: Option<Clock>,
}

struct Clock {
    ends: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Rest {
    pub(super) fn new() -> Self {
        Self {
            left: DrainLimits::default().bytes,
            clock: None,
        }
    }

    /// Ready once `body` has ended, or as much of it as may be has been read.
    pub(super) fn poll<B: Body>(
        &mut self,
        mut body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            let Poll::Ready(frame) = body.as_mut().poll_frame(cx) else {
                let (clock, _) = self.clock();
                return clock.timer.as_mut().poll(cx);
            };
            let Some(Ok(frame)) = frame else {
                return Poll::Ready(());
            };
            let bytes = frame.data_ref().map_or(0, |data| data.remaining() as u64);
            let Some(left) = self.left.checked_sub(bytes) else {
                return Poll::Ready(());
            };
            self.left = left;
            let (clock, now) = self.clock();
            if clock.ends <= now {
                return Poll::Ready(());
            }
            let next = clock.ends.min(now + DrainLimits::QUIET);
            clock.timer.as_mut().reset(next);
        }
    }

    fn clock(&mut self) -> (&mut Clock, Instant) {
        let now = Instant::now();
        let clock = self.clock.get_or_insert_with(|| Clock {
            ends: now + DrainLimits::default().time,
            timer: Box::pin(sleep_until(now + DrainLimits::QUIET)),
        });
        (clock, now)
    }
}
