//! An upload that is forwarded as it arrives.
//!
//! The upload owns the client's body, and drops it as soon as it has ended. A failure is kept, and every reader gets it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::HeaderMap;

use super::{
    inbound::Inbound,
    kept::{Forgotten, Kept},
    memory::Share,
};
use crate::{
    error::{RouteError, RouteErrorKind},
    pieces::{Chunks, lock},
};

/// One upload, shared by the request that sends it and the clones that may have
/// to send it again.
///
/// The bytes read are kept as long as a clone may still need them, up to the
/// replay limit: a larger upload is sent once. The lock is held for one step at
/// a time, never across an await.
#[derive(Clone)]
pub(crate) struct Upload(Arc<Mutex<State>>);

struct State {
    /// `None` once the upload has ended. After a failure the rest of it can be drained.
    inbound: Option<Inbound>,
    kept: Kept,
    readers: usize,
    /// Whether the last poll of the client's body was pending.
    starved: bool,
    trailers: Option<Box<HeaderMap>>,
    failure: Option<RouteError>,
    /// Waits until no reader is left, to drain the rest.
    drain: Option<Waker>,
}

impl Upload {
    /// `share` counts the bytes of `start`, and those that are kept from then on.
    pub(crate) fn new(start: Chunks, inbound: Inbound, replay_bytes: u64, share: Share) -> Self {
        Self(Arc::new(Mutex::new(State {
            inbound: Some(inbound),
            kept: Kept::new(start, replay_bytes, share),
            readers: 0,
            starved: false,
            trailers: None,
            failure: None,
            drain: None,
        })))
    }

    /// An upload of which nobody wants more.
    pub(crate) fn unread(inbound: Inbound) -> Self {
        Self::new(Chunks::default(), inbound, 0, Share::default())
    }

    /// Whether the client has not sent everything yet.
    pub(super) fn is_unfinished(&self) -> bool {
        let state = self.state();
        state.inbound.as_ref().is_some_and(|rest| !rest.is_over())
    }

    /// Whether a client that waits to be asked for the rest has been.
    pub(super) fn is_asked_for(&self) -> bool {
        let state = self.state();
        state
            .inbound
            .as_ref()
            .is_none_or(|rest| rest.is_asked_for())
    }

    /// How much has been read.
    pub(super) fn position(&self) -> u64 {
        self.state().kept.end()
    }

    /// Takes the rest away from a reader that does not read on, though the client sends: the
    /// engine has answered and wants no more. Whether there was one.
    pub(super) fn take_over(&self) -> bool {
        let mut state = self.state();
        let is_stuck = state.readers > 0 && !state.starved && state.failure.is_none();
        if is_stuck {
            state.failure = Some(RouteError::new(
                RouteErrorKind::InvalidBody,
                "the request was answered before its body was read",
            ));
            state.kept.forget_before(u64::MAX);
        }
        is_stuck
    }

    /// Reads on without keeping anything; how much was read past `position`, or `None`
    /// at the end. As long as there is a reader, it is that one's to read on.
    pub(super) fn poll_rest(&self, position: &mut u64, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        let mut state = self.state();
        let state = &mut *state;
        let read = state.kept.end().saturating_sub(*position);
        let Some(inbound) = state.inbound.as_mut().filter(|rest| !rest.is_over()) else {
            return Poll::Ready(None);
        };
        if state.readers == 0 || state.failure.is_some() {
            return inbound.as_mut().poll_past(cx);
        }
        if read > 0 {
            *position += read;
            return Poll::Ready(Some(read));
        }
        state.drain = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(crate) fn reader(&self) -> Reader {
        self.state().readers += 1;
        Reader {
            upload: self.clone(),
            position: 0,
        }
    }

    /// Why the upload could not be forwarded to its end, if it failed.
    pub(crate) fn failure(&self) -> Option<RouteError> {
        self.state().failure.clone()
    }

    /// Whether the client has sent all of it.
    pub(crate) fn has_ended(&self) -> bool {
        let state = self.state();
        let inbound = state.inbound.as_ref();
        state.failure.is_none() && inbound.is_none_or(|inbound| inbound.is_over())
    }

    /// Whether the upload waits for the client to send more, rather than for the
    /// engine to take what has been received.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.state().starved
    }

    /// Resets `waits_for_client`, which is known again once the new attempt reads.
    pub(crate) fn begin_attempt(&self) {
        self.state().starved = false;
    }

    /// The request for `asked` is being sent to an engine that reads `sent` in its head.
    pub(crate) fn sent_as(&self, asked: &str, sent: &str) {
        if let Some(inbound) = &mut self.state().inbound {
            inbound.as_mut().scan().sent_as(asked, sent);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}

/// Reads an upload from its start, or from where it was cloned.
#[derive(Debug)]
pub(crate) struct Reader {
    upload: Upload,
    /// In bytes of the client's body, before any edits.
    position: u64,
}

impl Reader {
    /// The next chunk; `None` at the end.
    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, RouteError>>> {
        let mut state = self.upload.state();
        let chunk = ready!(state.poll_chunk(self.position, cx));
        if let Some(Ok(chunk)) = &chunk {
            self.position += chunk.len() as u64;
            if state.readers == 1 {
                // No other reader can ask for it.
                state.kept.forget_before(self.position);
            }
        }
        let drain = state.drain.take();
        drop(state);
        drain.into_iter().for_each(Waker::wake);
        Poll::Ready(chunk)
    }

    pub(crate) fn trailers(&self) -> Option<Box<HeaderMap>> {
        self.upload.state().trailers.clone()
    }

    /// Whether the upload has not failed so far.
    pub(crate) fn is_intact(&self) -> bool {
        self.upload.state().failure.is_none()
    }

    /// Whether everything from this reader's position on can still be read more than once.
    pub(crate) fn is_replayable(&self) -> bool {
        let state = self.upload.state();
        state.failure.is_none() && state.kept.may_keep_from(self.position)
    }
}

impl Clone for Reader {
    fn clone(&self) -> Self {
        self.upload.state().readers += 1;
        Self {
            upload: self.upload.clone(),
            position: self.position,
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.upload.state();
        state.readers -= 1;
        let drain = state.drain.take();
        drop(state);
        drain.into_iter().for_each(Waker::wake);
    }
}

impl State {
    fn poll_chunk(
        &mut self,
        position: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, RouteError>>> {
        if let Some(failure) = &self.failure {
            return Poll::Ready(Some(Err(failure.clone())));
        }
        match self.kept.chunk_at(position) {
            Ok(Some(chunk)) => return Poll::Ready(Some(Ok(chunk))),
            Ok(None) => {}
            Err(Forgotten) => {
                return Poll::Ready(Some(Err(RouteError::too_large_to_repeat())));
            }
        }
        let Some(inbound) = &mut self.inbound else {
            return Poll::Ready(None);
        };
        let chunk = inbound.as_mut().poll_chunk(cx);
        self.starved = chunk.is_pending();
        let chunk = ready!(chunk);
        match &chunk {
            Some(Ok(chunk)) => self.kept.push(chunk, self.readers > 1),
            Some(Err(failure)) => {
                self.failure = Some(failure.clone());
                if inbound.is_over() {
                    self.inbound = None;
                }
                self.kept.forget_before(u64::MAX);
            }
            None => {
                self.trailers = inbound.as_mut().take_trailers();
                self.inbound = None;
            }
        }
        Poll::Ready(chunk)
    }
}
