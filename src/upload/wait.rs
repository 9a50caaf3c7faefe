//! Waiting for the client: the time limit, and waking the readers.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Wake, Waker, ready},
};

use tokio::time::{Instant, Sleep};

use super::pace::{Pace, Patience, TooSlow};
use crate::{error::RouteError, pieces::lock};

/// Limits the time spent waiting for the client.
///
/// Only the time from a poll that finds nothing to read until the client sends
/// something counts. Time that the engine takes until it reads on does not.
///
/// hyper hands over a body only at the second poll, even if it already has it.
/// So the first pending poll just asks to be polled again, and only the second
/// one sets a timer, which costs more than everything else in receiving a small
/// body.
pub(super) struct Wait {
    pace: Pace,
    state: Progress,
}

enum Progress {
    Untried,
    Deferred,
    Long(Box<Long>),
}

/// The state after the second pending poll in a row.
struct Long {
    patience: Patience,
    bell: Arc<Bell>,
    /// While waiting for the client: the start of the wait, and its timer if there is a limit.
    since: Option<(Instant, Option<Timer>)>,
}

/// Ends the wait, and why.
type Timer = (Pin<Box<Sleep>>, TooSlow);

impl Wait {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            pace,
            state: Progress::Untried,
        }
    }

    /// The client has sent this many bytes.
    pub(super) fn received(&mut self, bytes: usize) {
        if let Progress::Long(long) = &mut self.state {
            long.patience.renew(bytes, self.pace);
        }
    }

    /// Whether the last poll was pending.
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.state, Progress::Untried)
    }

    /// Whether the client is being waited for, after the second poll was pending too.
    pub(super) fn is_long(&self) -> bool {
        matches!(&self.state, Progress::Long(long) if long.since.is_some())
    }

    /// Polls `client` for more data; fails when the client's time is over.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        client: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, RouteError>> {
        self.poll_in_time(cx, client)
            .map_err(|too_slow| too_slow.error(self.pace))
    }

    fn poll_in_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut client: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, TooSlow>> {
        match &mut self.state {
            Progress::Long(long) => long.poll(self.pace, cx, client),
            Progress::Untried => client(cx).map(Ok).or_pending(|| {
                self.state = Progress::Deferred;
                cx.waker().wake_by_ref();
            }),
            Progress::Deferred => {
                if let Poll::Ready(sent) = client(cx) {
                    self.state = Progress::Untried;
                    return Poll::Ready(Ok(sent));
                }
                let mut long = Box::new(Long {
                    patience: Patience::default(),
                    bell: Arc::default(),
                    since: None,
                });
                let polled = long.poll(self.pace, cx, client);
                self.state = Progress::Long(long);
                polled
            }
        }
    }
}

impl Long {
    fn poll<T>(
        &mut self,
        pace: Pace,
        cx: &mut Context<'_>,
        mut client: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, TooSlow>> {
        // The client has sent something at that time, even if it is no whole frame yet.
        if let (Some(at), Some((since, _))) = (self.bell.take_rung(), &self.since) {
            self.patience.use_up(at.saturating_duration_since(*since));
            self.since = None;
        }
        let waker = Waker::from(Arc::clone(&self.bell));
        let mut bell = Context::from_waker(&waker);
        self.bell.wakes(cx.waker());
        if let Poll::Ready(sent) = client(&mut bell) {
            if let Some((since, _)) = self.since.take() {
                self.patience.use_up(since.elapsed());
            }
            self.bell.wake_all();
            return Poll::Ready(Ok(sent));
        }
        let (_, timer) = self.since.get_or_insert_with(|| {
            let timer = self
                .patience
                .left(pace)
                .map(|(left, reason)| (Box::pin(tokio::time::sleep(left)), reason));
            (Instant::now(), timer)
        });
        match timer {
            None => Poll::Pending,
            Some((timer, reason)) => {
                // The timer must wake the readers without noting that the client has
                // sent something.
                let waker = Waker::from(Arc::new(Quiet(Arc::clone(&self.bell))));
                ready!(timer.as_mut().poll(&mut Context::from_waker(&waker)));
                Poll::Ready(Err(*reason))
            }
        }
    }
}

/// A waker that notes when the client has sent something and wakes all waiting
/// tasks: a request and its clone may both read one upload.
#[derive(Default)]
struct Bell(Mutex<Ringing>);

#[derive(Default)]
struct Ringing {
    at: Option<Instant>,
    waiting: Vec<Waker>,
}

impl Bell {
    fn ringing(&self) -> MutexGuard<'_, Ringing> {
        lock(&self.0)
    }

    fn wakes(&self, waker: &Waker) {
        let waiting = &mut self.ringing().waiting;
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }

    fn take_rung(&self) -> Option<Instant> {
        self.ringing().at.take()
    }

    fn wake_all(&self) {
        let waiting = std::mem::take(&mut self.ringing().waiting);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ringing().at.get_or_insert_with(Instant::now);
        self.wake_all();
    }
}

/// Wakes all waiting tasks, without noting the time.
struct Quiet(Arc<Bell>);

impl Wake for Quiet {
    fn wake(self: Arc<Self>) {
        self.0.wake_all();
    }
}

/// Runs a closure if a poll is pending.
trait OrPending {
    fn or_pending(self, act: impl FnOnce()) -> Self;
}

impl<T> OrPending for Poll<T> {
    fn or_pending(self, act: impl FnOnce()) -> Self {
        if self.is_pending() {
            act();
        }
        self
    }
}
