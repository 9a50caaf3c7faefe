//! Reading a request's body until its model is known.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::request::Parts;

use super::{inbound::Inbound, memory::Share};
use crate::{error::RouteError, pieces::Chunks};

/// Reads a body until the model is known and no more data is available without waiting.
///
/// Most bodies are complete by then. The rest of a larger one is read by the
/// request to the engine, as it is forwarded.
pub(crate) struct Receive {
    /// `None` once the future has completed.
    inbound: Option<Inbound>,
    chunks: Chunks,
    share: Share,
    buffering: Buffering,
}

/// How much is read before the request is routed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffering {
    /// The limit while the model is not known; a longer body is refused.
    pub(crate) max_bytes: u64,
    /// The limit once the model is known; the rest is read only as it is forwarded.
    pub(crate) enough: u64,
    /// Whether to wait until `enough` has been read, because more than the model is needed.
    pub(crate) waits: bool,
}

/// Why a request is not sent, and the part of its body that was not read.
pub(crate) type Refused = (RouteError, Option<Inbound>);

/// A body that has been received far enough.
pub(crate) struct Received {
    pub(crate) chunks: Chunks,
    pub(crate) inbound: Inbound,
    /// Whether the chunks are the complete body.
    pub(crate) whole: bool,
    /// Counts the bytes of the chunks.
    pub(crate) share: Share,
    buffering: Buffering,
}

impl Received {
    /// Whether to read on, because more of the body `is_needed` for its model.
    pub(crate) fn lacks(&self, head: &Parts, is_needed: impl FnOnce(&str) -> bool) -> bool {
        let model = || self.inbound.scan.model(head);
        !self.whole && !self.buffering.waits && model().is_some_and(|model| is_needed(&model))
    }

    /// The unread part of the body.
    pub(crate) fn into_rest(self) -> Option<Inbound> {
        (!self.whole).then_some(self.inbound)
    }

    /// Reads on until the body is complete or exceeds the replay limit.
    pub(crate) fn read_on(self) -> Receive {
        Receive {
            inbound: Some(self.inbound),
            chunks: self.chunks,
            share: self.share,
            buffering: Buffering {
                waits: true,
                ..self.buffering
            },
        }
    }
}

impl Receive {
    pub(crate) fn new(inbound: Inbound, buffering: Buffering, share: Share) -> Self {
        Self {
            inbound: Some(inbound),
            chunks: Chunks::default(),
            share,
            buffering,
        }
    }

    /// Reads on; when it has read enough, ready with whether the body has ended.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, RouteError>> {
        let Some(inbound) = &mut self.inbound else {
            return Poll::Ready(Ok(true));
        };
        loop {
            let found = inbound.scan.is_found();
            let waits = self.buffering.waits || inbound.scan.reads_on();
            if found && self.chunks.len() > self.buffering.enough {
                return Poll::Ready(Ok(false));
            }
            // The body is too large to be buffered completely, so reading on gains nothing.
            if found && !waits && inbound.total() > Some(self.buffering.enough) {
                return Poll::Ready(Ok(false));
            }
            match inbound.as_mut().poll_chunk(cx) {
                Poll::Ready(Some(chunk)) => {
                    let chunk = chunk?;
                    self.share.grow(chunk.len() as u64)?;
                    self.chunks.push(chunk);
                    if inbound.is_over() {
                        return Poll::Ready(Ok(true));
                    }
                    let limit = self.buffering.max_bytes;
                    if self.chunks.len() > limit && !inbound.scan.is_found() {
                        return Poll::Ready(Err(match inbound.scan.needs_all() {
                            true => RouteError::not_buffered(limit),
                            false => RouteError::model_too_late(limit),
                        }));
                    }
                }
                Poll::Ready(None) => return Poll::Ready(Ok(true)),
                Poll::Pending if found && !waits && inbound.is_stalled() => {
                    return Poll::Ready(Ok(false));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Future for Receive {
    type Output = Result<Received, Refused>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let filled = ready!(self.poll_fill(cx));
        let inbound = self.inbound.take();
        let whole = match filled {
            Ok(whole) => whole,
            Err(error) => return Poll::Ready(Err((error, inbound))),
        };
        Poll::Ready(Ok(Received {
            chunks: std::mem::take(&mut self.chunks),
            share: std::mem::take(&mut self.share),
            inbound: inbound.expect("Receive polled after completion"),
            whole,
            buffering: self.buffering,
        }))
    }
}
