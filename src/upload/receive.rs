//! Reading a request's body until its model is known.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::request::Parts;

use super::{inbound::Inbound, memory::Share};
use crate::{
    coding::{Decoder, Recast},
    error::RouteError,
    model::Scan,
    pieces::Chunks,
};

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
    /// Inflates what has been received, all of which is there.
    undo: Option<Box<Recast>>,
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
    /// Counts the bytes of the chunks, and of what is kept of them without their coding.
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
            undo: None,
        }
    }

    /// Whether it is compressed, `is_needed` without its coding, and that has not been kept.
    pub(crate) fn lacks_plain(&self, is_needed: impl FnOnce(&Scan) -> bool) -> bool {
        let scan = &self.inbound.scan;
        let has_none = |decoder: &Decoder| decoder.kept().is_none();
        scan.decoder().is_some_and(has_none) && is_needed(scan)
    }

    /// Inflates it again, and keeps that.
    pub(crate) fn inflate(self) -> Receive {
        let decoder = self.inbound.scan.decoder();
        let undo = decoder.map(|decoder| Box::new(decoder.undo(self.chunks.clone())));
        Receive {
            inbound: Some(self.inbound),
            chunks: self.chunks,
            share: self.share,
            buffering: self.buffering,
            undo,
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
            undo: None,
        }
    }

    /// Ready with whether the body has ended, once it has been received far enough, or inflated.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, RouteError>> {
        let (Some(undo), Some(inbound)) = (&mut self.undo, &mut self.inbound) else {
            return self.poll_fill(cx);
        };
        let plain = ready!(undo.poll(cx, |more| self.share.grow(more)))?;
        if let Some(decoder) = inbound.as_mut().scan().decoder_mut() {
            decoder.keep(plain);
        }
        Poll::Ready(Ok(true))
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
            let polled = inbound.as_mut().poll_chunk(cx);
            if let Some(decoder) = inbound.as_mut().scan().decoder_mut() {
                count_kept(decoder, &mut self.share, self.chunks.len());
            }
            match polled {
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

/// Counts what is kept without its coding of a body of which `received` bytes are held, or lets it
/// go if there is no room.
fn count_kept(decoder: &mut Decoder, share: &mut Share, received: u64) {
    let kept = decoder.kept().map_or(0, Chunks::len);
    if share.resize_to_spare(received + kept).is_err() {
        decoder.take_kept();
        share.shrink_to(received);
    }
}

impl Future for Receive {
    type Output = Result<Received, Refused>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let filled = ready!(self.poll_body(cx));
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
