//! An answer that is held back until its first content event.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
    response,
};
use http_body::{Body, Frame};
use pin_project_lite::pin_project;

use super::busy::says_busy;
use crate::{
    attempt::{ResponseBody, outcome_of_answer},
    error::{BoxError, RouteError, RouteErrorKind},
    events::{Dialect, End, Event, Format, Kinds, Reader, data_of},
    server::Outcome,
};

/// The most that is held; an answer that has more before its first content is passed on.
const MAX_BYTES: usize = 64 << 10;

/// Whether the head alone says that this is no answer of the API: a proxy's page, most often.
pub(super) fn is_of_another_type(dialect: Dialect, headers: &HeaderMap) -> bool {
    dialect.has_terminal()
        && headers.contains_key(CONTENT_TYPE)
        && !headers.contains_key(CONTENT_ENCODING)
        && Format::of(headers) == Format::Opaque
}

/// The error of such an answer.
pub(super) fn other_type() -> BoxError {
    fault("the engine's answer has a content type that its API has not")
}

fn fault(why: &'static str) -> BoxError {
    RouteError::new(RouteErrorKind::UpstreamUnreachable, why).into()
}

/// The answer with what was held, and what it says of the engine.
type Read<R> = Result<(Response<ResponseBody<R>>, Outcome), BoxError>;

pin_project! {
    /// Reads an answer up to its first content event.
    pub(super) struct Opening<R> {
        head: Option<response::Parts>,
        reader: Reader,
        held: VecDeque<Frame<Bytes>>,
        size: usize,
        #[pin]
        body: R,
    }
}

/// What the bytes so far say.
enum Said {
    Nothing,
    /// The generation has begun, or has ended well.
    Content,
    /// The first event is an error, whose bytes are these.
    Error(Event),
}

impl<R: Body> Opening<R> {
    pub(super) fn new(dialect: Dialect, response: Response<R>) -> Self {
        let (head, body) = response.into_parts();
        Self {
            reader: Reader::new(dialect, Format::of(&head.headers)),
            head: Some(head),
            held: VecDeque::new(),
            size: 0,
            body,
        }
    }

    /// The answer, or why the attempt has failed.
    pub(super) fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Read<R>>
    where
        R: Unpin,
        R::Error: Into<BoxError>,
    {
        loop {
            let this = self.as_mut().project();
            let said = match ready!(this.body.poll_frame(cx)) {
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
                None => {
                    return Poll::Ready(self.ended());
                }
                Some(Ok(frame)) => {
                    let frame = frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
                    let said = match frame.data_ref() {
                        Some(data) => {
                            *this.size += data.len();
                            said(this.reader, data)
                        }
                        None => Said::Nothing,
                    };
                    this.held.push_back(frame);
                    said
                }
            };
            match said {
                Said::Content => return Poll::Ready(Ok(self.answer())),
                Said::Error(event) => return Poll::Ready(Ok(self.refusal(event))),
                Said::Nothing if *self.as_mut().project().size > MAX_BYTES => {
                    return Poll::Ready(Ok(self.answer()));
                }
                Said::Nothing => {}
            }
        }
    }
}
