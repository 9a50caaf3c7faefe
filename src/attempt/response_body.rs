//! The body that is sent back to the client.
//!
//! It owns the endpoint's lease and the request's span until it ends, fails or
//! is dropped, whichever comes first.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{exchange::Exchange, silence::Silence};
use crate::{
    error::{BoxError, RouteError},
    observe::RequestSpan,
    server::Lease,
    upload::Drain,
};

pin_project! {
    /// The engine's answer, streamed frame by frame, or the gateway's own answer.
    ///
    /// The request counts as in flight to its endpoint until this body has
    /// ended or is dropped.
    #[derive(Debug)]
    pub struct ResponseBody<R> {
        #[pin]
        kind: Kind<R>,
        held: Option<Held>,
        // `None` if the client has sent its whole body.
        rest: Option<Box<Rest>>,
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

/// The rest of an upload that is answered early. The end of the answer waits for its end.
#[derive(Debug)]
struct Rest {
    drain: Box<Drain>,
    /// The last frame, if there is one, once the answer has ended but for that.
    end: Option<Option<Frame<Bytes>>>,
}

/// What is held until the exchange with the engine has ended.
#[derive(Debug)]
pub(crate) struct Held {
    /// `None` if the answer is from an earlier attempt, whose lease was released.
    lease: Option<Lease>,
    exchange: Arc<Exchange>,
    silence: Option<Silence>,
    #[allow(dead_code, reason = "held for what its drop does")]
    span: RequestSpan,
}

impl Held {
    /// `idle_timeout` is the longest silence allowed.
    pub(crate) fn new(
        lease: Option<Lease>,
        exchange: Arc<Exchange>,
        idle_timeout: Option<Duration>,
        span: RequestSpan,
    ) -> Self {
        Self {
            silence: idle_timeout.map(Silence::new),
            lease,
            exchange,
            span,
        }
    }

    /// Ready once the engine has been silent for too long.
    pub(super) fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.silence {
            Some(silence) => silence.poll(cx),
            None => Poll::Pending,
        }
    }

    pub(super) fn broken_silence(&mut self) {
        if let Some(silence) = &mut self.silence {
            silence.broken();
        }
    }

    /// The engine has broken off its answer, which counts as a failure of the endpoint,
    /// unless the client's own upload has not come to its end: then the connection may have
    /// broken because of the client.
    pub(super) fn failed(self) {
        if let Some(mut lease) = self.lease
            && self.exchange.has_whole_upload()
        {
            lease.failed();
        }
    }

    /// The answer has come to its end.
    pub(super) fn completed(self) {
        if let Some(lease) = self.lease {
            lease.completed();
        }
    }
}

impl<R: Body> ResponseBody<R> {
    pub(crate) fn upstream(body: R, mut held: Option<Held>) -> Self {
        if body.is_end_stream()
            && let Some(held) = held.take()
        {
            held.completed();
        }
        Self {
            held,
            kind: Kind::Upstream { body },
            rest: None,
        }
    }
}

impl<R> ResponseBody<R> {
    /// The body of a 101 that a layer above tunnels: what is held goes with the body.
    pub(crate) fn upgraded(body: R, held: Held) -> Self {
        Self {
            kind: Kind::Upstream { body },
            held: Some(held),
            rest: None,
        }
    }

    pub(crate) fn own(data: Bytes) -> Self {
        Self {
            kind: Kind::Own { data },
            held: None,
            rest: None,
        }
    }

    /// Drains the rest of the upload before its own end.
    pub(crate) fn draining(mut self, rest: Option<Box<Drain>>) -> Self {
        self.rest = rest.map(|drain| Box::new(Rest { drain, end: None }));
        self
    }
}

impl<R> Default for ResponseBody<R> {
    /// An empty body, which layers above need for their own answers.
    fn default() -> Self {
        Self::own(Bytes::new())
    }
}

impl<R> Body for ResponseBody<R>
where
    R: Body,
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let mut this = self.as_mut().project();
            if let Some(Rest {
                drain,
                end: Some(end),
            }) = this.rest.as_deref_mut()
            {
                ready!(drain.poll(cx));
                let last = end.take();
                *this.rest = None;
                return Poll::Ready(last.map(Ok));
            }
            let frame = ready!(poll_answer(this.kind.as_mut(), this.held, cx));
            let Some(rest) = this.rest.as_deref_mut() else {
                return Poll::Ready(frame);
            };
            match frame {
                None => rest.end = Some(None),
                Some(Ok(frame)) if frame.is_trailers() || this.kind.is_over() => {
                    let (before, last) = split_last(frame);
                    rest.end = Some(Some(last));
                    if before.is_some() {
                        return Poll::Ready(before.map(Ok));
                    }
                }
                frame => return Poll::Ready(frame),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.kind.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.kind.size_hint();
        match self.rest.as_deref() {
            Some(Rest {
                end: Some(Some(last)),
                ..
            }) => last.data_ref().map_or_else(SizeHint::default, |data| {
                SizeHint::with_exact(data.len() as u64)
            }),
            // With a length of 0 nobody would poll the body, which drains the upload.
            Some(_) if left.exact() == Some(0) => SizeHint::default(),
            _ => left,
        }
    }
}

impl<R: Body> Kind<R> {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own { data } => data.is_empty(),
            Self::Upstream { body } => body.is_end_stream(),
        }
    }

    /// Whether no data comes any more.
    fn is_over(&self) -> bool {
        self.is_end_stream() || self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own { data } => SizeHint::with_exact(data.len() as u64),
            Self::Upstream { body } => body.size_hint(),
        }
    }
}

/// The last byte of a frame, and what comes before it.
fn split_last(frame: Frame<Bytes>) -> (Option<Frame<Bytes>>, Frame<Bytes>) {
    match frame.into_data() {
        Ok(mut data) if data.len() > 1 => {
            let last = data.split_off(data.len() - 1);
            (Some(Frame::data(data)), Frame::data(last))
        }
        Ok(data) => (None, Frame::data(data)),
        Err(trailers) => (None, trailers),
    }
}

/// The next frame of the answer itself.
fn poll_answer<R>(
    mut kind: Pin<&mut Kind<R>>,
    held: &mut Option<Held>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
where
    R: Body,
    R::Error: Into<BoxError>,
{
    let mut body = match kind.as_mut().project() {
        KindProj::Own { data } if data.is_empty() => return Poll::Ready(None),
        KindProj::Own { data } => {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(data)))));
        }
        KindProj::Upstream { body } => body,
    };
    let frame = match body.as_mut().poll_frame(cx) {
        Poll::Ready(Some(Err(error))) => {
            if let Some(held) = held.take() {
                held.failed();
            }
            return Poll::Ready(Some(Err(error.into())));
        }
        Poll::Ready(Some(Ok(frame))) => frame,
        Poll::Ready(None) => {
            if let Some(held) = held.take() {
                held.completed();
            }
            return Poll::Ready(None);
        }
        Poll::Pending => {
            let silence = held.as_mut();
            ready!(silence.map_or(Poll::Pending, |held| held.poll_silence(cx)));
            if let Some(held) = held.take() {
                held.failed();
            }
            kind.set(Kind::Own { data: Bytes::new() });
            return Poll::Ready(Some(Err(RouteError::stalled().into())));
        }
    };
    if body.is_end_stream() {
        if let Some(held) = held.take() {
            held.completed();
        }
    } else if let Some(held) = held {
        held.broken_silence();
    }
    let frame = frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
    Poll::Ready(Some(Ok(frame)))
}
