//! A body for the engine that is sent in several pieces: it is edited on the way, is still
//! arriving, or has yet to be produced.

use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use super::exchange::Attached;
use crate::{
    coding::Recast,
    error::{BoxError, RouteError},
    pieces::{Chunks, Edits, Splice, lock},
    upload::Reader,
    wire::{Payload, PayloadContent},
};

#[derive(Clone)]
pub(super) struct BodyStream {
    claim: Claim,
    /// How many bytes are still to be sent, if that is known.
    remaining: Option<u64>,
}

/// Which of the clones sends it.
#[derive(Clone)]
enum Claim {
    /// Each has its own.
    Kept(Unsent),
    /// Too large for that: the first that is polled sends it, and as long as none is, any of them
    /// can.
    Single(Arc<Mutex<Option<Unsent>>>),
    /// What that one has begun to send.
    Begun(Unsent),
}

/// What is still to be sent.
#[derive(Clone)]
struct Unsent {
    /// The rest of the current chunk.
    chunk: Bytes,
    source: Source,
    splice: Splice,
}

/// The source of the chunks.
#[derive(Clone)]
enum Source {
    /// All chunks are there; many bodies have only the first.
    Whole(Option<Box<Rest>>),
    /// They are being made.
    Making(Box<Making>),
    /// The chunks are still arriving.
    Upload(Reader),
}

#[derive(Clone)]
struct Making {
    recast: Box<Recast>,
    trailers: Option<Box<HeaderMap>>,
    /// How long it may be to be kept.
    replay_bytes: u64,
}

#[derive(Clone)]
struct Rest {
    chunks: std::vec::IntoIter<Bytes>,
    trailers: Option<Box<HeaderMap>>,
}

/// A body that has been made.
struct Made {
    len: u64,
    is_announced: bool,
    is_kept: bool,
}

impl Source {
    fn making(recast: Box<Recast>, trailers: Option<Box<HeaderMap>>, replay_bytes: u64) -> Self {
        Self::Making(Box::new(Making {
            recast,
            trailers,
            replay_bytes,
        }))
    }

    fn whole(chunks: Vec<Bytes>, trailers: Option<Box<HeaderMap>>) -> Self {
        let rest = (!chunks.is_empty() || trailers.is_some()).then(|| Rest {
            chunks: chunks.into_iter(),
            trailers,
        });
        Self::Whole(rest.map(Box::new))
    }
}

impl Claim {
    fn new(unsent: Unsent, is_kept: bool) -> Self {
        match is_kept {
            true => Self::Kept(unsent),
            false => Self::Single(Arc::new(Mutex::new(Some(unsent)))),
        }
    }

    /// From now on the first of its clones that is polled sends it.
    fn keep_once(&mut self) {
        let begun = Self::Single(Arc::default());
        *self = match std::mem::replace(self, begun) {
            Self::Kept(unsent) => Self::new(unsent, false),
            once => once,
        };
    }

    /// What to send; `None` if another clone sends it.
    fn begin(&mut self) -> Option<&mut Unsent> {
        if let Self::Single(unsent) = self {
            let unsent = lock(unsent).take()?;
            *self = Self::Begun(unsent);
        }
        match self {
            Self::Kept(unsent) | Self::Begun(unsent) => Some(unsent),
            Self::Single(_) => None,
        }
    }
}

impl Unsent {
    /// Whether the client has not failed to send it so far.
    fn is_intact(&self) -> bool {
        match &self.source {
            Source::Whole(_) | Source::Making(_) => true,
            Source::Upload(reader) => reader.is_intact(),
        }
    }

    fn is_replayable(&self) -> bool {
        match &self.source {
            Source::Whole(_) | Source::Making(_) => true,
            Source::Upload(reader) => reader.is_replayable(),
        }
    }

    fn begin_again(&mut self, payload: Payload) {
        if let Some(content) = payload.content {
            let trailers = match &mut self.source {
                Source::Whole(Some(rest)) => rest.trailers.take(),
                Source::Making(making) => making.trailers.take(),
                Source::Whole(None) | Source::Upload(_) => None,
            };
            match content {
                PayloadContent::Made(chunks) => self.put(chunks, trailers),
                PayloadContent::Making(recast) => {
                    self.chunk = Bytes::new();
                    self.source = Source::making(recast, trailers, u64::MAX);
                }
            }
        }
        self.splice = Splice::new(payload.edits);
    }

    /// Ready once nothing is left to be made; with what was made, if it was now. It is counted in
    /// `exchange`.
    fn poll_made(
        &mut self,
        exchange: Option<&Attached>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Made>, RouteError>> {
        let Source::Making(making) = &mut self.source else {
            return Poll::Ready(Ok(None));
        };
        let exchange = exchange.map(Attached::exchange);
        let room = |more| exchange.map_or(Ok(()), |exchange| exchange.hold(more));
        let chunks = ready!(making.recast.poll(cx, room))?;
        if let Some(exchange) = exchange {
            exchange.is_sent_only_now();
        }
        let made = Made {
            len: chunks.len(),
            is_announced: making.trailers.is_none(),
            is_kept: chunks.len() <= making.replay_bytes,
        };
        let trailers = making.trailers.take();
        self.put(chunks, trailers);
        Poll::Ready(Ok(Some(made)))
    }

    fn put(&mut self, chunks: Chunks, trailers: Option<Box<HeaderMap>>) {
        let (chunk, rest) = chunks.into_parts();
        self.chunk = chunk;
        self.source = Source::whole(rest, trailers);
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if let Some(piece) = self.splice.next_piece(&mut self.chunk) {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            self.chunk = match &mut self.source {
                // It is made before.
                Source::Whole(None) | Source::Making(_) => return Poll::Ready(None),
                Source::Whole(Some(rest)) => match rest.chunks.next() {
                    Some(chunk) => chunk,
                    None => {
                        let trailers = rest.trailers.take();
                        return Poll::Ready(
                            trailers.map(|trailers| Ok(Frame::trailers(*trailers))),
                        );
                    }
                },
                Source::Upload(reader) => match ready!(reader.poll_chunk(cx)) {
                    Some(chunk) => chunk?,
                    None => {
                        let trailers = reader.trailers();
                        self.source = Source::whole(Vec::new(), trailers);
                        continue;
                    }
                },
            };
        }
    }
}

impl BodyStream {
    /// `length` is that after the edits, if it is known.
    fn new(
        chunk: Bytes,
        source: Source,
        edits: Edits,
        length: Option<u64>,
        is_kept: bool,
    ) -> Box<Self> {
        let unsent = Unsent {
            chunk,
            source,
            splice: Splice::new(edits),
        };
        Box::new(Self {
            claim: Claim::new(unsent, is_kept),
            remaining: length,
        })
    }

    pub(super) fn whole(
        chunks: Chunks,
        trailers: Option<Box<HeaderMap>>,
        edits: Edits,
        is_kept: bool,
    ) -> Box<Self> {
        let length = edits.apply_to_len(chunks.len());
        let length = trailers.is_none().then_some(length);
        let (chunk, rest) = chunks.into_parts();
        Self::new(chunk, Source::whole(rest, trailers), edits, length, is_kept)
    }

    /// `length` is that after the edits, if it is known and announced.
    pub(super) fn making(
        recast: Box<Recast>,
        trailers: Option<Box<HeaderMap>>,
        edits: Edits,
        length: Option<u64>,
        replay_bytes: u64,
    ) -> Box<Self> {
        let source = Source::making(recast, trailers, replay_bytes);
        Self::new(Bytes::new(), source, edits, length, true)
    }

    /// `total` is the length of the client's body, if it is known.
    pub(super) fn upload(
        reader: Reader,
        total: Option<u64>,
        edits: Edits,
        replay_bytes: u64,
    ) -> Box<Self> {
        let length = total.map(|total| edits.apply_to_len(total));
        let is_kept = total.is_none_or(|total| total <= replay_bytes);
        Self::new(Bytes::new(), Source::Upload(reader), edits, length, is_kept)
    }

    pub(super) fn remaining(&self) -> Option<u64> {
        self.remaining
    }

    /// See [`RouteBody::begin_again`](super::RouteBody::begin_again).
    pub(super) fn begin_again(&mut self, payload: Payload) {
        self.remaining = payload.length;
        match &mut self.claim {
            Claim::Kept(unsent) | Claim::Begun(unsent) => unsent.begin_again(payload),
            Claim::Single(unsent) => {
                if let Some(unsent) = &mut *lock(unsent) {
                    unsent.begin_again(payload);
                }
            }
        }
    }

    pub(super) fn is_replayable(&self) -> bool {
        match &self.claim {
            Claim::Kept(unsent) => unsent.is_replayable(),
            Claim::Single(unsent) => lock(unsent).as_ref().is_some_and(Unsent::is_intact),
            Claim::Begun(_) => false,
        }
    }

    /// Whether all that the engine is to get is there, or arrives.
    pub(super) fn is_made(&self) -> bool {
        let is_made = |unsent: &Unsent| !matches!(unsent.source, Source::Making(_));
        match &self.claim {
            Claim::Kept(unsent) | Claim::Begun(unsent) => is_made(unsent),
            Claim::Single(unsent) => lock(unsent).as_ref().is_none_or(is_made),
        }
    }

    /// Ready once it is made; with its length, if it was made now and that is to be announced.
    pub(super) fn poll_length(
        &mut self,
        exchange: Option<&Attached>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<u64>, RouteError>> {
        let made = match &mut self.claim {
            Claim::Kept(unsent) | Claim::Begun(unsent) => unsent.poll_made(exchange, cx),
            Claim::Single(unsent) => match &mut *lock(unsent) {
                Some(unsent) => unsent.poll_made(exchange, cx),
                None => return Poll::Ready(Ok(None)),
            },
        };
        let Some(made) = ready!(made)? else {
            return Poll::Ready(Ok(None));
        };
        if !made.is_kept {
            self.claim.keep_once();
        }
        self.remaining = self.remaining.or(made.is_announced.then_some(made.len));
        Poll::Ready(Ok(self.remaining))
    }

    pub(super) fn poll_frame(
        &mut self,
        exchange: Option<&Attached>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // Where a retry policy of the caller's has it sent again.
        if !self.is_made() {
            ready!(self.poll_length(exchange, cx))?;
        }
        let Some(unsent) = self.claim.begin() else {
            return Poll::Ready(Some(Err(RouteError::too_large_to_repeat().into())));
        };
        let frame = ready!(unsent.poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let (Some(data), Some(remaining)) = (frame.data_ref(), &mut self.remaining)
        {
            *remaining = remaining.saturating_sub(data.len() as u64);
        }
        Poll::Ready(frame)
    }
}
