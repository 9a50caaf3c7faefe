//! The body that follows a script.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    BoxError,
    script::{Next, Script, script},
};

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

impl Scripted {
    pub(super) fn new(script: Script) -> Self {
        Self(script)
    }

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
