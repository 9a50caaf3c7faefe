//! An upload that is forwarded while it still arrives.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;

use super::{
    inbound::Inbound,
    kept::{Forgotten, Kept},
};
use crate::{
    error::{RouteError, RouteErrorKind},
    pieces::{Chunks, lock},
};

/// One upload, shared by the request that sends it and by the clones that may
/// have to send it again.
///
/// The bytes read are kept as long as there are clones that have not
/// read it, and never more than the replay limit: an upload that is larger
/// is sent once. The lock is held for one step at a time and never awaited.
#[derive(Clone)]
pub(crate) struct Upload(Arc<Mutex<State>>);

struct State {
    /// None once it has ended or failed.
    inbound: Option<Inbound>,
    kept: Kept,
    readers: usize,
    /// Whether the client is what this waits for.
    starved: bool,
    trailers: Option<Box<HeaderMap>>,
    failure: Option<RouteError>,
}

impl Upload {
    pub(crate) fn new(start: Chunks, inbound: Inbound, replay_bytes: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            inbound: Some(inbound),
            kept: Kept::new(start, replay_bytes),
            readers: 0,
            starved: false,
            trailers: None,
            failure: None,
        })))
    }

    pub(crate) fn reader(&self) -> Reader {
        self.state().readers += 1;
        Reader {
            upload: self.clone(),
            position: 0,
        }
    }

    /// Why it could not be forwarded to its end.
    pub(crate) fn failure(&self) -> Option<RouteError> {
        self.state().failure.clone()
    }

    /// Whether this waits for the client, and not for the engine to take more.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.state().starved
    }

    /// The next attempt does not inherit what an earlier one waited for.
    pub(crate) fn begin_attempt(&self) {
        self.state().starved = false;
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
    /// In bytes of the original.
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
                // Nobody else is there who could ask for it.
                state.kept.forget_before(self.position);
            }
        }
        Poll::Ready(chunk)
    }

    pub(crate) fn trailers(&self) -> Option<Box<HeaderMap>> {
        self.upload.state().trailers.clone()
    }

    /// Whether everything from this reader's place on can still be read, and again.
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
        self.upload.state().readers -= 1;
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
                return Poll::Ready(Some(Err(RouteError::new(
                    RouteErrorKind::InvalidBody,
                    "the request body is too large to be sent again",
                ))));
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
                self.inbound = None;
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
