//! The handle by which a test feeds a body, and what the two share.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    task::Waker,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::{BoxError, Scripted};

/// A body and the handle that feeds it.
pub fn script() -> (Script, Scripted) {
    let script = Script(Arc::default());
    let body = Scripted::new(script.clone());
    (script, body)
}

/// The same, of a body that says how many of its `length` bytes are left, if that is known.
pub fn script_of(length: Option<u64>) -> (Script, Scripted) {
    let (script, body) = script();
    if let Some(length) = length {
        script.change(|state| state.left = Some(length));
    }
    (script, body)
}

/// What a [`Scripted`] body does, from outside of it.
#[derive(Clone, Debug)]
pub struct Script(Arc<Mutex<State>>);

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) next: VecDeque<Next>,
    pub(super) ended: bool,
    /// Whether the end shows in `is_end_stream`, as it does where a length was announced.
    pub(super) end_is_known: bool,
    pub(super) hint: SizeHint,
    /// Of a body whose length is known: an exact hint.
    pub(super) left: Option<u64>,
    /// How often the body must be asked before it hands over what is there.
    pub(super) turns: u32,
    pub(super) asked: u32,
    pub(super) polls: usize,
    pub(super) dropped: bool,
    pub(super) waker: Option<Waker>,
}

#[derive(Debug)]
pub(super) enum Next {
    Frame(Result<Frame<Bytes>, BoxError>),
    Pause,
}

impl Script {
    pub fn data(&self, data: impl Into<Bytes>) -> &Self {
        self.push(Ok(Frame::data(data.into())))
    }

    /// The same, of a copy.
    pub fn send(&self, data: impl AsRef<[u8]>) -> &Self {
        self.data(Bytes::copy_from_slice(data.as_ref()))
    }

    pub fn trailers(&self, trailers: HeaderMap) -> &Self {
        self.push(Ok(Frame::trailers(trailers)))
    }

    pub fn fail(&self, error: impl Into<BoxError>) -> &Self {
        self.push(Err(error.into()))
    }

    pub fn end(&self) -> &Self {
        self.change(|state| state.ended = true)
    }

    /// The end, and the body knows it before it is asked for the next frame.
    pub fn end_known(&self) -> &Self {
        self.change(|state| {
            state.ended = true;
            state.end_is_known = true;
        })
    }

    pub fn hint(&self, hint: SizeHint) -> &Self {
        self.change(|state| state.hint = hint)
    }

    pub fn polls(&self) -> usize {
        self.state().polls
    }

    pub fn is_dropped(&self) -> bool {
        self.state().dropped
    }

    fn push(&self, frame: Result<Frame<Bytes>, BoxError>) -> &Self {
        self.change(|state| state.next.push_back(Next::Frame(frame)))
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut State)) -> &Self {
        let mut state = self.state();
        change(&mut state);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        drop(state);
        self
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}
