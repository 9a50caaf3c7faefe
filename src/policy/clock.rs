//! The times of one attempt.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{attempt::AttemptTimes, server::Outcome};

/// How much of its answer an attempt has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Nothing,
    /// The head of an error whose body is read: the caller still waits for it.
    Error,
    /// The head of one that is held back until its first content event.
    Held,
}

pin_project! {
    /// Waits for the next time of an attempt that is over.
    pub(super) struct Clock {
        times: AttemptTimes,
        // When an answer whose head is there has made no progress for too long.
        idle: Option<Instant>,
        // Made only if the attempt is not over at the first poll.
        #[pin]
        sleep: Option<Sleep>,
    }
}

/// The time of an attempt that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Attempt,
    /// That from the head on.
    Idle,
    Total,
}

impl Over {
    /// What it says about an endpoint that has not answered until then.
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Attempt | Self::Idle => Outcome::TimedOut,
            Self::Total => Outcome::OutOfTime,
        }
    }
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
        stage: Stage,
        slow: impl Fn(),
    ) -> Poll<Over> {
        loop {
            let mut this = self.as_mut().project();
            if stage != Stage::Nothing && this.idle.is_none() {
                let idle = this.times.idle;
                *this.idle = idle.and_then(|idle| Instant::now().checked_add(idle));
            }
            let Some((at, over)) = next(this.times, *this.idle, stage) else {
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
            if let Some(over) = over {
                return Poll::Ready(over);
            }
            this.times.slow = None;
            slow();
        }
    }
}

/// The time that is over next, which ends the attempt unless it is that for being slow. Of two at
/// once it is the one of the request.
fn next(
    times: &AttemptTimes,
    idle: Option<Instant>,
    stage: Stage,
) -> Option<(Instant, Option<Over>)> {
    let head = times.head.filter(|_| stage != Stage::Held);
    let all = [
        (times.total, Some(Over::Total)),
        (head, Some(Over::Attempt)),
        (times.first, Some(Over::Attempt)),
        (idle, Some(Over::Idle)),
        (times.slow, None),
    ];
    let mut next: Option<(Instant, Option<Over>)> = None;
    for (at, over) in all {
        if let Some(at) = at
            && next.as_ref().is_none_or(|(soonest, _)| at < *soonest)
        {
            next = Some((at, over));
        }
    }
    next
}
