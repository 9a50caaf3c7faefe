//! Waiting for the client: the time limit, and waking the readers.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Wake, Waker, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

use crate::pieces::lock;

/// Limits the total time spent waiting for the client.
///
/// Only the time from a poll that finds nothing to read until the client sends
/// something counts. Time that the engine takes until it reads on does not.
///
/// hyper hands over a body only at the second poll, even if it already has it.
/// So the first pending poll just asks to be polled again, and only the second
/// one sets a timer, which costs more than everything else in receiving a small
/// body.
pub(super) struct Wait {
    /// The time that is left; `None` if there is no limit.
    left: Option<Duration>,
    state: Progress,
}

enum Progress {
    Untried,
    Deferred,
    Long(Long),
}

/// The state after the second pending poll in a row.
struct Long {
    bell: Arc<Bell>,
    /// While waiting for the client: the start of the wait, and its timer if there is a limit.
    since: Option<(Instant, Option<Pin<Box<Sleep>>>)>,
}

impl Wait {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            left: (limit < Duration::MAX).then_some(limit),
            state: Progress::Untried,
        }
    }

    /// Whether the client is being waited for, after the second poll was pending too.
    pub(super) fn is_long(&self) -> bool {
        matches!(&self.state, Progress::Long(long) if long.since.is_some())
    }

    /// Polls `client` for more data; ready with `None` when the client's time is over.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut client: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Option<T>> {
        match &mut self.state {
            Progress::Long(long) => long.poll(&mut self.left, cx, client),
            Progress::Untried => client(cx).map(Some).or_pending(|| {
                self.state = Progress::Deferred;
                cx.waker().wake_by_ref();
            }),
            Progress::Deferred => {
                if let Poll::Ready(sent) = client(cx) {
                    self.state = Progress::Untried;
                    return Poll::Ready(Some(sent));
                }
                let mut long = Long {
                    bell: Arc::default(),
                    since: None,
                };
                let polled = long.poll(&mut self.left, cx, client);
                self.state = Progress::Long(long);
                polled
            }
        }
    }
}

impl Long {
    fn poll<T>(
        &mut self,
        left: &mut Option<Duration>,
        cx: &mut Context<'_>,
        mut client: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Option<T>> {
        // The client has sent something at that time, even if it is no whole frame yet.
        if let (Some(at), Some((since, _))) = (self.bell.take_rung(), &self.since) {
            use_up(left, at.saturating_duration_since(*since));
            self.since = None;
        }
        let waker = Waker::from(Arc::clone(&self.bell));
        let mut bell = Context::from_waker(&waker);
        self.bell.wakes(cx.waker());
        if let Poll::Ready(sent) = client(&mut bell) {
            if let Some((since, _)) = self.since.take() {
                use_up(left, since.elapsed());
            }
            self.bell.wake_all();
            return Poll::Ready(Some(sent));
        }
        let (_, timer) = self.since.get_or_insert_with(|| {
            let timer = left.map(|left| Box::pin(tokio::time::sleep(left)));
            (Instant::now(), timer)
        });
        match timer {
            None => Poll::Pending,
            Some(timer) => {
                // The timer must wake the readers without noting that the client has
                // sent something.
                let waker = Waker::from(Arc::new(Quiet(Arc::clone(&self.bell))));
                ready!(timer.as_mut().poll(&mut Context::from_waker(&waker)));
                Poll::Ready(None)
            }
        }
    }
}

fn use_up(left: &mut Option<Duration>, time: Duration) {
    *left = left.map(|left| left.saturating_sub(time));
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
