//! Bodies that say what a test tells them to say, when it tells them.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::BoxError;

/// A body and the handle that feeds it.
pub fn script() -> (Script, Scripted) {
    let script = Script(Arc::default());
    let body = Scripted(script.clone());
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

/// A body that waits wherever its script has nothing for it, and, as hyper's, wakes only who has
/// polled it last.
#[derive(Debug)]
pub struct Scripted(Script);

/// What a body that is written beforehand does at a poll.
#[derive(Clone, Debug)]
pub enum Step {
    Data(Bytes),
    /// Nothing is there at this poll, but something may be at the next.
    Pause,
}

impl Step {
    pub fn len(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Pause => 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[derive(Debug, Default)]
struct State {
    next: VecDeque<Next>,
    ended: bool,
    /// Whether the end shows in `is_end_stream`, as it does where a length was announced.
    end_is_known: bool,
    hint: SizeHint,
    /// Of a body whose length is known: an exact hint.
    left: Option<u64>,
    /// How often the body must be asked before it hands over what is there.
    turns: u32,
    asked: u32,
    polls: usize,
    dropped: bool,
    waker: Option<Waker>,
}

#[derive(Debug)]
enum Next {
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

impl Scripted {
    /// A body that needs nobody to feed it.
    pub fn of(steps: impl IntoIterator<Item = Step>, has_length: bool) -> Self {
        let (script, body) = script();
        script.change(|state| {
            let mut length = 0;
            for step in steps {
                length += step.len() as u64;
                state.next.push_back(match step {
                    Step::Data(data) => Next::Frame(Ok(Frame::data(data))),
                    Step::Pause => Next::Pause,
                });
            }
            state.left = has_length.then_some(length);
            state.ended = true;
        });
        body
    }

    /// Like hyper's, which reads on only when it is asked, and in another task.
    pub fn in_another_task(self) -> Self {
        self.0.change(|state| state.turns = 3);
        self
    }
}

impl Default for Scripted {
    /// One that nobody feeds.
    fn default() -> Self {
        script().1
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
        state.polls += 1;
        if !state.next.is_empty() && state.asked < state.turns {
            state.asked += 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match state.next.pop_front() {
            Some(Next::Frame(frame)) => {
                state.asked = 0;
                let data = frame
                    .as_ref()
                    .ok()
                    .and_then(Frame::data_ref)
                    .map(Bytes::len);
                if let (Some(left), Some(taken)) = (&mut state.left, data) {
                    *left -= taken as u64;
                }
                Poll::Ready(Some(frame))
            }
            Some(Next::Pause) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None if state.ended => Poll::Ready(None),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let state = self.0.state();
        state.end_is_known && state.next.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.0.state();
        state.left.map_or(state.hint, SizeHint::with_exact)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.0.state().dropped = true;
    }
}
