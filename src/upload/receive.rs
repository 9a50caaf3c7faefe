//! Reading a request's body until its model is known.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::inbound::Inbound;
use crate::{error::RouteError, pieces::Chunks};

/// Reads a body until the model is known and no more data is ready.
///
/// Most bodies are whole by then. What is not is read on by the request that
/// goes to the engine.
pub(crate) struct Receive {
    /// Taken when it is ready.
    inbound: Option<Inbound>,
    chunks: Chunks,
    buffering: Buffering,
}

/// The amount to read before the request is forwarded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffering {
    /// While the model is not known: more is refused.
    pub(crate) max_bytes: u64,
    /// Once it is known: more is not read before it is sent.
    pub(crate) enough: u64,
    /// Whether to wait for that much, because more must be known than the model.
    pub(crate) waits: bool,
}

/// A body of which enough is known.
pub(crate) struct Received {
    pub(crate) chunks: Chunks,
    pub(crate) inbound: Inbound,
    /// Whether the chunks are all of it.
    pub(crate) whole: bool,
    buffering: Buffering,
}

impl Received {
    /// Whether to wait for more, because more `is_needed` than its model.
    pub(crate) fn lacks(&self, is_needed: impl FnOnce(&str) -> bool) -> bool {
        let model = self.inbound.scan.model();
        !self.whole && !self.buffering.waits && model.is_some_and(is_needed)
    }

    /// Reads on until it is whole, or as much as may be kept.
    pub(crate) fn read_on(self) -> Receive {
        Receive {
            inbound: Some(self.inbound),
            chunks: self.chunks,
            buffering: Buffering {
                waits: true,
                ..self.buffering
            },
        }
    }
}

impl Receive {
    pub(crate) fn new(inbound: Inbound, buffering: Buffering) -> Self {
        Self {
            inbound: Some(inbound),
            chunks: Chunks::default(),
            buffering,
        }
    }

    /// Reads on; ready with whether the body has ended.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, RouteError>> {
        let Some(inbound) = &mut self.inbound else {
            return Poll::Ready(Ok(true));
        };
        loop {
            let found = inbound.scan.is_found();
            if found && self.chunks.len() > self.buffering.enough {
                return Poll::Ready(Ok(false));
            }
            // It will not be whole: reading on gains nothing.
            if found && !self.buffering.waits && inbound.total() > Some(self.buffering.enough) {
                return Poll::Ready(Ok(false));
            }
            match inbound.as_mut().poll_chunk(cx) {
                Poll::Ready(Some(chunk)) => {
                    self.chunks.push(chunk?);
                    if self.chunks.len() > self.buffering.max_bytes && !inbound.scan.is_found() {
                        let error = RouteError::model_too_late(self.buffering.max_bytes);
                        return Poll::Ready(Err(error));
                    }
                }
                Poll::Ready(None) => return Poll::Ready(Ok(true)),
                Poll::Pending if found && !self.buffering.waits && inbound.is_stalled() => {
                    return Poll::Ready(Ok(false));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Future for Receive {
    type Output = Result<Received, RouteError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let whole = ready!(self.poll_fill(cx))?;
        let inbound = self.inbound.take();
        Poll::Ready(Ok(Received {
            chunks: std::mem::take(&mut self.chunks),
            inbound: inbound.expect("Receive polled after completion"),
            whole,
            buffering: self.buffering,
        }))
    }
}
