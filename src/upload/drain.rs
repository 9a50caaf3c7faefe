//! Draining: the rest of an upload that is answered early is read and thrown
//! away.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::shared::Upload;

/// How much of a refused upload is read, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainLimits {
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
    /// Whether the whole answer waits, and not only its end. (HTTP/3 is the same.)
    pub(crate) is_http2: bool,
    /// Whether the client sends nothing until it is asked to: reading would do that.
    pub(crate) expects: bool,
}

impl DrainLimits {
    /// A client that has sent nothing for this long has seen the answer and stopped.
    pub(crate) const QUIET: Duration = Duration::from_secs(1);

    /// Whether the client waits to be asked for `upload`, which nobody will do now.
    pub(crate) fn leave(&self, upload: &Upload) -> bool {
        self.expects && upload.is_unfinished() && !upload.is_asked_for()
    }
}

impl Default for DrainLimits {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            time: Duration::from_secs(5),
            is_http2: false,
            expects: false,
        }
    }
}

/// Reads the rest of an upload whose answer is there already.
///
/// A server that closes a connection with unread data resets it, and many clients
/// then lose the answer: they read it only once they have sent everything (RFC 9112
/// section 9.6). hyper polls the rest of a body once, and closes. So the end of the
/// answer waits for the end of the upload.
pub(crate) struct Drain {
    upload: Upload,
    /// Up to where the upload was when this last looked.
    position: u64,
    limits: DrainLimits,
    read: u64,
    clock: Option<Clock>,
}

struct Clock {
    ends: Option<Instant>,
    last_read: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Drain {
    /// `None` if nothing is left of the upload, none of it may be read, or the client has not been
    /// asked for it.
    pub(crate) fn of(upload: Upload, limits: DrainLimits) -> Option<Box<Self>> {
        let may_read = limits.bytes > 0 && !limits.time.is_zero() && !limits.leave(&upload);
        (may_read && upload.is_unfinished()).then(|| {
            Box::new(Self {
                position: upload.position(),
                upload,
                limits,
                read: 0,
                clock: None,
            })
        })
    }

    /// Drains `rest` if the whole answer waits for it; otherwise ready at once.
    pub(crate) fn poll_first(rest: &mut Option<Box<Self>>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(drain) = rest.as_mut().filter(|drain| drain.limits.is_http2) {
            ready!(drain.poll(cx));
            *rest = None;
        }
        Poll::Ready(())
    }

    /// Ready once the upload has ended, or as much of it as may be has been read.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.poll_read(cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(()),
                Poll::Pending => {
                    ready!(self.poll_clock(cx));
                    if self.is_out_of_time() || !self.upload.take_over() {
                        return Poll::Ready(());
                    }
                    self.note_read();
                }
            }
        }
    }

    /// Ready with whether there may be more.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(bytes) = ready!(self.upload.poll_rest(&mut self.position, cx)) else {
            return Poll::Ready(false);
        };
        self.read += bytes;
        if bytes > 0 {
            self.note_read();
        }
        Poll::Ready(self.read <= self.limits.bytes)
    }

    fn note_read(&mut self) {
        if let Some(clock) = &mut self.clock {
            clock.last_read = Instant::now();
        }
    }

    fn is_out_of_time(&self) -> bool {
        let ends = self.clock.as_ref().and_then(|clock| clock.ends);
        ends.is_some_and(|ends| ends <= Instant::now())
    }

    /// Ready when the time is over, or nothing has been read for a while.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock.get_or_insert_with(|| {
            let now = Instant::now();
            let ends = now.checked_add(self.limits.time);
            Clock {
                timer: Box::pin(sleep_until(next_look(now, ends))),
                last_read: now,
                ends,
            }
        });
        loop {
            ready!(clock.timer.as_mut().poll(cx));
            let next = next_look(clock.last_read, clock.ends);
            if next <= Instant::now() {
                return Poll::Ready(());
            }
            clock.timer.as_mut().reset(next);
        }
    }
}

fn next_look(last_read: Instant, ends: Option<Instant>) -> Instant {
    let quiet = last_read + DrainLimits::QUIET;
    ends.map_or(quiet, |ends| ends.min(quiet))
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("limits", &self.limits)
            .field("read", &self.read)
            .finish_non_exhaustive()
    }
}
