//! What is held of an exchange until the answer's body has ended.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame;

use super::{
    cut::{Cut, EventEnd},
    keep_alive::KeepAlive,
    learned_ids::LearnedIds,
    silence::Silence,
    slow::Slow,
    watch::{Ending, Farewell, Seen, Watch},
};
use crate::{
    error::{BoxError, RouteError},
    events::{Event, Kinds},
    observe::{EndKind, Report},
    server::Lease,
    upload::Upload,
};

/// What is held until the exchange with the engine has ended.
#[derive(Debug)]
pub(crate) struct Held {
    /// `None` if the answer is from an earlier attempt, whose lease was released.
    lease: Option<Lease>,
    /// The client's upload, if it may go on while the engine answers already.
    upload: Option<Upload>,
    silence: Option<Silence>,
    /// Until the first event.
    slow: Option<Box<Slow>>,
    /// `None` if nobody looks at the events, or there are none.
    watch: Option<Box<Watch>>,
    keep_alive: Option<Box<KeepAlive>>,
    /// Takes the usage out of a stream whose client has not asked for it.
    cut: Option<Box<Cut>>,
    /// Reads what the engine calls the things that it keeps.
    ids: Option<Box<LearnedIds>>,
    /// It tells the end when it is dropped.
    report: Report,
}

/// What is due while the engine says nothing.
pub(super) enum Pause {
    Comment(Bytes),
    /// The answer has made no progress for too long.
    TooLong,
}

impl Held {
    /// `idle_timeout` is the longest time without progress.
    pub(crate) fn new(
        lease: Option<Lease>,
        upload: Option<Upload>,
        idle_timeout: Option<Duration>,
        report: Report,
    ) -> Self {
        Self {
            silence: idle_timeout.map(Silence::new),
            slow: None,
            watch: None,
            keep_alive: None,
            cut: None,
            ids: None,
            lease,
            upload,
            report,
        }
    }

    /// Looks at the events; `slow` counts a missing first one as a failure.
    pub(crate) fn watch(&mut self, watch: Option<Box<Watch>>, slow: Option<Slow>) {
        self.watch = watch;
        self.slow = slow.filter(|_| self.judges()).map(Box::new);
        if !self.judges() {
            self.has_begun();
        }
    }

    /// Remembers the ids in the answer.
    pub(crate) fn learn(&mut self, ids: Option<LearnedIds>) {
        self.ids = ids.map(Box::new);
    }

    /// Whether somebody looks at the events for the endpoint's sake.
    fn judges(&self) -> bool {
        let judges = |watch: &Watch| watch.judges() && !watch.reads_out();
        self.watch.as_deref().is_some_and(judges)
    }

    /// Sends comments in pauses between two events.
    pub(crate) fn keep_alive(&mut self, keep_alive: KeepAlive) {
        let has_events = self.watch.as_deref().is_some_and(Watch::takes_comments);
        self.keep_alive = has_events.then(|| Box::new(keep_alive));
    }

    /// Hides the usage from the client, where that has not asked for it.
    pub(crate) fn hide_usage(&mut self) {
        let has_events = self.watch.as_deref().is_some_and(Watch::takes_comments);
        self.cut = has_events.then(Box::default);
    }

    /// Whether the client may get more than the engine's bytes, or fewer. Then no length must be
    /// announced: what has that length would be a whole answer.
    pub(crate) fn may_add(&self) -> bool {
        self.cut.is_some()
            || self.keep_alive.is_some()
            || self.watch.as_deref().is_some_and(Watch::may_add)
    }

    /// Bytes of the answer have come, or its trailers. Leaves what the client gets of them; returns
    /// whether that is anything.
    pub(super) fn received(&mut self, frame: &mut Frame<Bytes>) -> bool {
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.sent();
        }
        let (Some(data), watch) = (frame.data_mut(), &mut self.watch) else {
            self.broken_silence();
            return true;
        };
        self.report.passed(data.len());
        if let Some(ids) = &mut self.ids {
            ids.read(data);
        }
        let Some(watch) = watch else {
            self.broken_silence();
            return true;
        };
        let seen = match &mut self.cut {
            None => watch.read(data, |_| ()),
            Some(cut) => read_and_cut(watch, cut, data),
        };
        self.report.read(watch.reader(), seen.kinds);
        if let Some(silence) = &mut self.silence {
            silence.broken(seen.progress);
        }
        // In this order: to fail at once is not to be fast.
        if seen.failed && self.judges() {
            self.blame();
        }
        if seen.progress {
            self.has_begun();
        }
        self.cut.is_none() || frame.data_ref().is_some_and(|data| !data.is_empty())
    }

    /// Ready once the engine has made no progress for too long.
    pub(super) fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(slow) = &mut self.slow
            && slow.poll(cx).is_ready()
        {
            self.slow = None;
            self.blame();
        }
        match &mut self.silence {
            Some(silence) => silence.poll(cx),
            None => Poll::Pending,
        }
    }

    /// Ready if something is to be done while the engine says nothing.
    pub(super) fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<Pause> {
        if self.poll_silence(cx).is_ready() {
            return Poll::Ready(Pause::TooLong);
        }
        match (&mut self.keep_alive, &self.watch) {
            (Some(keep_alive), Some(watch)) if watch.is_between_events() => {
                let has_ids = watch.reader().has_ids();
                keep_alive.poll(has_ids, cx).map(Pause::Comment)
            }
            _ => Poll::Pending,
        }
    }

    pub(super) fn broken_silence(&mut self) {
        if let Some(silence) = &mut self.silence {
            silence.broken(true);
        }
    }

    /// The engine has broken off its answer, which counts as a failure of the endpoint,
    /// unless the client's own upload has not come to its end: then the connection may have
    /// broken because of the client.
    pub(super) fn failed(mut self) {
        self.report.ended(EndKind::Interrupted);
        self.blame();
    }

    /// The answer has come to its end; what follows its last frame.
    pub(super) fn ended(&mut self) -> Farewell {
        let Some(watch) = &mut self.watch else {
            return self.end(Ending::Complete);
        };
        let (ending, last) = watch.ended();
        self.report.read(watch.reader(), last);
        let rest = self.cut.take().map(|mut cut| cut.end(last == Kinds::USAGE));
        let farewell = if watch.judges() {
            self.end(ending)
        } else {
            if !matches!(ending, Ending::Complete) {
                self.report.ended(EndKind::Interrupted);
            }
            self.end(Ending::Complete)
        };
        farewell.behind(rest.unwrap_or_default())
    }

    /// The answer has made no progress for too long, which is no fault of an engine that reads out what
    /// it keeps: there may be no more of it.
    pub(super) fn stalled(&mut self) {
        let reads_out = |watch: &Watch| watch.judges() && watch.reads_out();
        if self.watch.as_deref().is_some_and(reads_out) {
            self.lease = None;
        }
    }

    /// The answer has broken off with `cause`, of which the client is told `error`.
    pub(super) fn broke(&mut self, error: &RouteError, cause: BoxError) -> Farewell {
        let ending = match &mut self.watch {
            Some(watch) if watch.judges() => watch.broke(error, cause),
            _ => Ending::Failed(Farewell::Break(cause)),
        };
        let rest = self.cut.take().map(|mut cut| cut.end(false));
        self.end(ending).behind(rest.unwrap_or_default())
    }

    /// The session has come to its end.
    pub(super) fn completed(mut self) {
        _ = self.end(Ending::Complete);
    }

    fn end(&mut self, ending: Ending) -> Farewell {
        match ending {
            Ending::Complete => {
                self.report.ended(EndKind::Ok);
                if let Some(lease) = self.lease.take() {
                    lease.completed();
                }
                Farewell::End
            }
            Ending::Refused(farewell) => {
                self.report.ended(EndKind::Interrupted);
                farewell
            }
            Ending::Failed(farewell) => {
                self.report.ended(EndKind::Interrupted);
                self.blame();
                farewell
            }
        }
    }

    /// The first content is there; later ones change nothing.
    fn has_begun(&mut self) {
        self.slow = None;
        if let Some(lease) = &mut self.lease {
            lease.has_begun();
        }
    }

    fn blame(&mut self) {
        if let Some(lease) = &mut self.lease
            && self.upload.as_ref().is_none_or(Upload::has_ended)
        {
            lease.failed();
        }
    }
}

/// Leaves in `data` what the client gets of it.
fn read_and_cut(watch: &mut Watch, cut: &mut Cut, data: &mut Bytes) -> Seen {
    let mut ends = Vec::new();
    let before = watch.reader().bytes();
    let seen = watch.read(data, |event| ends.push(end_in(before, event)));
    *data = cut.pass(data, &ends);
    seen
}

/// Where an event ends in the chunk before which `before` bytes were read. One that says the usage
/// and nothing else goes.
fn end_in(before: u64, event: &Event) -> EventEnd {
    let end = event.end.saturating_sub(before);
    (
        usize::try_from(end).unwrap_or(usize::MAX),
        event.kinds == Kinds::USAGE,
    )
}
