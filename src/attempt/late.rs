//! A response whose head is sent before its answer is there.

use std::{
    fmt,
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame};

use super::keep_alive::KeepAlive;
use crate::{
    error::{BoxError, RouteError},
    events::{Dialect, Format, Interruption, failure_event},
};

/// The most that is read of an engine's error.
const MAX_BYTES: usize = 64 << 10;

/// What is to become the answer; `None` if it has failed without one.
type Call<B> = Pin<Box<dyn Future<Output = Option<Response<B>>> + Send>>;

/// Comments until the answer is there, then its events, or an error event.
pub(crate) struct Late<B> {
    state: State<B>,
    /// The first, which opened the answer.
    comment: Option<Bytes>,
    keep_alive: KeepAlive,
    dialect: Dialect,
    /// The request's.
    id: HeaderValue,
}

enum State<B> {
    /// (A mutex, so that the call need not be `Sync`.)
    Calling(Mutex<Call<B>>),
    /// The answer is not a stream: usually an error with this status.
    Failing {
        status: StatusCode,
        body: Pin<Box<B>>,
        data: Vec<u8>,
    },
}

/// What has come.
enum Read<B> {
    Answer(Option<Response<B>>),
    /// The body of one that has failed.
    Failure(StatusCode, Vec<u8>),
}

/// What a poll brings.
pub(super) enum Next<B> {
    Comment(Bytes),
    /// The stream itself.
    Stream(Pin<Box<B>>),
    /// The last event.
    Last(Bytes),
}

impl<B> Late<B> {
    pub(crate) fn new(
        call: Call<B>,
        comment: Bytes,
        keep_alive: KeepAlive,
        dialect: Dialect,
        id: HeaderValue,
    ) -> Box<Self> {
        Box::new(Self {
            state: State::Calling(Mutex::new(call)),
            comment: Some(comment),
            keep_alive,
            dialect,
            id,
        })
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Next<B>>
    where
        B: Body<Data = Bytes, Error = BoxError>,
    {
        if let Some(comment) = self.comment.take() {
            return Poll::Ready(Next::Comment(comment));
        }
        loop {
            let answer = match &mut self.state {
                State::Calling(call) => {
                    let call = call
                        .get_mut()
                        .unwrap_or_else(|poisoned| poisoned.into_inner());
                    call.as_mut().poll(cx).map(Read::Answer)
                }
                State::Failing { status, body, data } => {
                    let (status, read) = (*status, read(body.as_mut(), data, cx));
                    read.map(|()| Read::Failure(status, std::mem::take(data)))
                }
            };
            let answer = match answer {
                Poll::Pending => return self.keep_alive.poll(false, cx).map(Next::Comment),
                Poll::Ready(Read::Failure(status, data)) => {
                    return Poll::Ready(Next::Last(self.failure(status, &data)));
                }
                Poll::Ready(Read::Answer(answer)) => answer,
            };
            let Some(answer) = answer else {
                let error = RouteError::broken_off();
                return Poll::Ready(Next::Last(self.error(error.status(), &error)));
            };
            let (head, body) = answer.into_parts();
            if let Some(error) = head.extensions.get::<RouteError>() {
                return Poll::Ready(Next::Last(self.error(head.status, error)));
            }
            if is_stream(head.status, &head.headers) {
                return Poll::Ready(Next::Stream(Box::pin(body)));
            }
            self.state = State::Failing {
                status: head.status,
                body: Box::pin(body),
                data: Vec::new(),
            };
        }
    }

    /// In the engine's words, if it has any.
    fn failure(&self, status: StatusCode, data: &[u8]) -> Bytes {
        let (status, error) = if is_refusal(status) {
            (status, RouteError::refused_late(status))
        } else {
            let error = RouteError::no_stream();
            (error.status(), error)
        };
        failure_event(self.dialect, data, &self.why(status, &error))
    }

    fn error(&self, status: StatusCode, error: &RouteError) -> Bytes {
        failure_event(self.dialect, b"", &self.why(status, error))
    }

    fn why<'a>(&'a self, status: StatusCode, error: &'a RouteError) -> Interruption<'a> {
        Interruption {
            status,
            code: error.kind().code(),
            message: error.message(),
            id: &self.id,
        }
    }
}

/// Why an answer with this head can't follow the comments though it does not say itself that it has
/// failed, if that is so.
pub(crate) fn fault_of(status: StatusCode, headers: &HeaderMap) -> Option<RouteError> {
    let is_fault = !is_stream(status, headers) && !is_refusal(status);
    is_fault.then(RouteError::no_stream)
}

fn is_stream(status: StatusCode, headers: &HeaderMap) -> bool {
    status.is_success() && Format::of(headers) == Format::Sse
}

fn is_refusal(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// Ready once the body has ended, or has more than is read of it.
fn read<B>(mut body: Pin<&mut B>, data: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<()>
where
    B: Body<Data = Bytes, Error = BoxError>,
{
    while data.len() < MAX_BYTES {
        match ready!(body.as_mut().poll_frame(cx)) {
            None | Some(Err(_)) => break,
            Some(Ok(frame)) => {
                let more = Frame::into_data(frame).unwrap_or_default();
                let room = MAX_BYTES - data.len();
                data.extend_from_slice(more.get(..room).unwrap_or(&more));
            }
        }
    }
    Poll::Ready(())
}

impl<B> fmt::Debug for Late<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Late").finish_non_exhaustive()
    }
}
