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

    /// The engine has broken off its answer, which counts as a failure of the endpoint,
    /// unless the client's own upload has not come to its end: then the connection may have
    /// broken because of the client.
    fn failed(self) {
        if let Some(mut lease) = self.lease
            && self.exchange.has_whole_upload()
        {
            lease.failed();
        }
    }

    /// The answer has come to its end.
    fn completed(self) {
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
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let mut body = match this.kind.as_mut().project() {
            KindProj::Own { data } if data.is_empty() => return Poll::Ready(None),
            KindProj::Own { data } => {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(data)))));
            }
            KindProj::Upstream { body } => body,
        };
        let frame = match body.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Err(error))) => {
                if let Some(held) = this.held.take() {
                    held.failed();
                }
                return Poll::Ready(Some(Err(error.into())));
            }
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(None) => {
                if let Some(held) = this.held.take() {
                    held.completed();
                }
                return Poll::Ready(None);
            }
            Poll::Pending => {
                let silence = this.held.as_mut().and_then(|held| held.silence.as_mut());
                ready!(silence.map_or(Poll::Pending, |silence| silence.poll(cx)));
                if let Some(held) = this.held.take() {
                    held.failed();
                }
                this.kind.set(Kind::Own { data: Bytes::new() });
                return Poll::Ready(Some(Err(RouteError::stalled().into())));
            }
        };
        if body.is_end_stream() {
            if let Some(held) = this.held.take() {
                held.completed();
            }
        } else if let Some(silence) = this.held.as_mut().and_then(|held| held.silence.as_mut()) {
            silence.broken();
        }
        let frame = frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
        Poll::Ready(Some(Ok(frame)))
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
