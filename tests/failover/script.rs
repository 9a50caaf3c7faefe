//! Bodies that say what a test tells them to say, when it tells them.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::{Body, Frame};

use crate::kit::BoxError;

/// A body and the handle that feeds it.
pub(crate) fn script() -> (Script, Scripted) {
    let script = Script(Arc::default());
    let body = Scripted(script.clone());
    (script, body)
}

/// What a [`Scripted`] body does, from outside of it.
#[derive(Clone, Debug)]
pub(crate) struct Script(Arc<Mutex<State>>);

/// A body that waits wherever its script has nothing for it.
#[derive(Debug)]
pub(crate) struct Scripted(Script);

impl Default for Scripted {
    /// One that nobody feeds.
    fn default() -> Self {
        script().1
    }
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Result<Frame<Bytes>, BoxError>>,
    ended: bool,
    /// Whether the end shows in `is_end_stream`, as it does where a length was announced.
    end_is_known: bool,
    dropped: bool,
    waker: Option<Waker>,
}

impl Script {
    pub(crate) fn data(&self, data: impl Into<Bytes>) -> &Self {
        self.push(Ok(Frame::data(data.into())))
    }

    pub(crate) fn fail(&self, error: impl Into<BoxError>) -> &Self {
        self.push(Err(error.into()))
    }

    pub(crate) fn end(&self) -> &Self {
        self.change(|state| state.ended = true)
    }

    /// The end, and the body knows it before it is asked for the next frame.
    pub(crate) fn end_known(&self) -> &Self {
        self.change(|state| {
            state.ended = true;
            state.end_is_known = true;
        })
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.state().dropped
    }

    fn push(&self, frame: Result<Frame<Bytes>, BoxError>) -> &Self {
        self.change(|state| state.frames.push_back(frame))
    }

    fn change(&self, change: impl FnOnce(&mut State)) -> &Self {
        let mut state = self.state();
        change(&mut state);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        drop(state);
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut state = self.0.state();
        if let Some(frame) = state.frames.pop_front() {
            return Poll::Ready(Some(frame));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let state = self.0.state();
        state.end_is_known && state.frames.is_empty()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.0.state().dropped = true;
    }
}
