//! The times of one attempt.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{attempt::AttemptTimes, server::Outcome};

pin_project! {
    /// Waits for the next time of an attempt that is over.
    pub(super) struct Clock {
        times: AttemptTimes,
        // When an answer that is held back has made no progress for too long.
        idle: Option<Instant>,
        // Made only if the attempt is not over at the first poll.
        #[pin]
        sleep: Option<Sleep>,
    }
}

/// What a time that is over means.
enum Over {
    Slow,
    Attempt,
    Total,
}

impl Clock {
    pub(super) fn new(times: AttemptTimes) -> Self {
        Self {
            times,
            idle: None,
            sleep: None,
        }
    }

    /// Ready once the attempt has no time left. Calls `slow` once the first event is late.
    pub(super) fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        has_head: bool,
        slow: impl Fn(),
    ) -> Poll<Outcome> {
        loop {
            let mut this = self.as_mut().project();
            if has_head && this.idle.is_none() {
                let idle = this.times.idle;
                *this.idle = idle.and_then(|idle| Instant::now().checked_add(idle));
            }
            let Some((at, over)) = next(this.times, *this.idle, has_head) else {
                return Poll::Pending;
            };
            match this.sleep.as_mut().as_pin_mut() {
                None => this.sleep.set(Some(sleep_until(at))),
                Some(sleep) if sleep.deadline() != at => sleep.reset(at),
                Some(_) => {}
            }
            if let Some(sleep) = this.sleep.as_pin_mut() {
                ready!(sleep.poll(cx));
            }
            match over {
                Over::Slow => {
                    this.times.slow = None;
                    slow();
                }
                Over::Attempt => return Poll::Ready(Outcome::TimedOut),
                Over::Total => return Poll::Ready(Outcome::OutOfTime),
            }
        }
    }
}

/// The time that is over next. Of two at once it is the one of the request.
fn next(times: &AttemptTimes, idle: Option<Instant>, has_head: bool) -> Option<(Instant, Over)> {
    let all = [
        (times.total, Over::Total),
        (times.head.filter(|_| !has_head), Over::Attempt),
        (times.first, Over::Attempt),
        (idle, Over::Attempt),
        (times.slow, Over::Slow),
    ];
    let mut next: Option<(Instant, Over)> = None;
    for (at, over) in all {
        if let Some(at) = at
            && next.as_ref().is_none_or(|(soonest, _)| at < *soonest)
        {
            next = Some((at, over));
        }
    }
    next
}
