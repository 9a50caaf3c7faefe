//! The body that goes back to the client.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use crate::trace::RequestSpan;
use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::server::Lease;

pin_project! {
    /// The engine's answer, streamed through frame by frame, or an answer of our own.
    ///
    /// While it is alive and not at its end, the request counts as in flight
    /// to its endpoint.
    #[derive(Debug)]
    pub struct ResponseBody<R> {
        #[pin]
        kind: Kind<R>,
        held: Option<Held>,
    }
}

pin_project! {
    #[project = KindProj]
    #[derive(Debug)]
    enum Kind<R> {
        Upstream { #[pin] body: R },
        Own { data: Bytes },
    }
}

/// What lasts as long as the exchange with the engine.
#[derive(Debug)]
#[allow(dead_code, reason = "held for what their drop does")]
pub(crate) struct Held {
    pub(crate) lease: Lease,
    pub(crate) span: RequestSpan,
}

impl<R: Body> ResponseBody<R> {
    pub(crate) fn upstream(body: R, held: Option<Held>) -> Self {
        Self {
            held: held.filter(|_| !body.is_end_stream()),
            kind: Kind::Upstream { body },
        }
    }
}

impl<R> ResponseBody<R> {
    pub(crate) fn own(data: Bytes) -> Self {
        Self {
            kind: Kind::Own { data },
            held: None,
        }
    }
}

impl<R> Default for ResponseBody<R> {
    /// An empty body, as layers above need it for their own answers.
    fn default() -> Self {
        Self::own(Bytes::new())
    }
}

impl<R: Body> Body for ResponseBody<R> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        let mut this = self.project();
        let mut body = match this.kind.as_mut().project() {
            KindProj::Own { data } if data.is_empty() => return Poll::Ready(None),
            KindProj::Own { data } => {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(data)))));
            }
            KindProj::Upstream { body } => body,
        };
        let frame = ready!(body.as_mut().poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) || body.is_end_stream() {
            *this.held = None;
        }
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
        }))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Own { data } => data.is_empty(),
            Kind::Upstream { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Own { data } => SizeHint::with_exact(data.len() as u64),
            Kind::Upstream { body } => body.size_hint(),
        }
    }
}
