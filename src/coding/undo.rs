//! Undoes a coding, to inspect a body or to change it.

use std::{
    fmt,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;

#[cfg(feature = "decompression")]
use super::inflate::{Inflate, InflateError};
#[cfg(not(feature = "decompression"))]
use super::unavailable::{Inflate, InflateError};
use super::{
    coded::Coded, encoding::Unsupported, inflate_limits::InflateLimits, recast::Recast,
    slice::Slice,
};
use crate::{
    config::Encoding,
    error::{ACCEPTED_ENCODINGS, RouteError, RouteErrorKind},
    pieces::{Chunks, Edits},
};

/// Inflates a body as it arrives, to inspect it, and keeps what comes out for what may need it.
///
/// What is kept saves inflating the body again, and can be let go at any time. So nothing is kept of
/// a body that is as dense as a bomb: no body makes the gateway hold more than a fair one would.
pub(crate) struct Decoder {
    pub(crate) encoding: Encoding,
    limits: InflateLimits,
    inflate: Inflate,
    /// The chunk that is being inflated, and how much of it has been.
    begun: Option<(Bytes, usize)>,
    slice: Slice,
    kept: Option<Chunks>,
}

impl Decoder {
    /// `None` if the body has no content coding.
    pub(crate) fn new(
        headers: &HeaderMap,
        limits: InflateLimits,
    ) -> Result<Option<Self>, RouteError> {
        let encoding = Encoding::from_headers(headers).map_err(|Unsupported| {
            RouteError::new(
                RouteErrorKind::UnsupportedEncoding,
                format!(
                    "the request body's Content-Encoding is not supported; supported: {}",
                    ACCEPTED_ENCODINGS
                ),
            )
        })?;
        Ok(encoding.map(|encoding| Self {
            encoding,
            limits,
            inflate: Inflate::new(encoding, limits),
            begun: None,
            slice: Slice::default(),
            kept: None,
        }))
    }

    /// Keeps what comes out, if something `may_need` it.
    pub(crate) fn keeping(self, may_need: bool) -> Self {
        let kept = may_need.then(Chunks::default);
        Self { kept, ..self }
    }

    /// Inflates a chunk in slices, between which others run.
    ///
    /// Until it is ready the chunk is [`begun`](Self::begun), and to be fed again.
    pub(crate) fn poll_feed(
        &mut self,
        chunk: &Bytes,
        cx: &mut Context<'_>,
        mut sink: impl FnMut(&[u8]) -> Result<(), RouteError>,
    ) -> Poll<Result<(), RouteError>> {
        let done = self.begun.take().map_or(0, |(_, done)| done);
        let mut rest = chunk.get(done..).unwrap_or_default();
        loop {
            let kept = &mut self.kept;
            let step = self.inflate.step(&mut rest, |plain| {
                if let Some(kept) = kept {
                    kept.push(Bytes::copy_from_slice(plain));
                }
                sink(plain)
            });
            let cost = match step {
                Ok(Some(cost)) => cost,
                ended => return Poll::Ready(ended.map(|_| ())),
            };
            if self.inflate.is_dense() {
                self.kept = None;
            }
            if self.slice.is_used_up_by(cost) {
                self.begun = Some((chunk.clone(), chunk.len() - rest.len()));
                return Slice::give_way(cx);
            }
        }
    }

    /// The chunk that has not been inflated to its end.
    pub(crate) fn begun(&self) -> Option<&Bytes> {
        self.begun.as_ref().map(|(chunk, _)| chunk)
    }

    pub(crate) fn finish(&mut self) -> Result<(), RouteError> {
        self.inflate.finish().map_err(RouteError::from)
    }

    /// How long the body is without its coding, as far as it has been fed.
    pub(crate) fn plain_len(&self) -> u64 {
        self.inflate.produced()
    }

    /// What has been kept of it without its coding: all of it, if anything.
    pub(crate) fn kept(&self) -> Option<&Chunks> {
        self.kept.as_ref()
    }

    /// Takes what was kept; nothing is kept from now on.
    pub(crate) fn take_kept(&mut self) -> Option<Chunks> {
        self.kept.take()
    }

    /// Keeps what `undo` has made.
    pub(crate) fn keep(&mut self, plain: Chunks) {
        self.kept = Some(plain);
    }

    /// Inflates the body again, all of which was fed.
    pub(crate) fn undo(&self, body: Chunks) -> Recast {
        Recast::new(body, Some((self.encoding, self.limits)), Edits::None, None)
    }

    /// The body, all of which was fed, and what is at hand of it without its coding.
    pub(crate) fn coded(self, body: Chunks, plain: Option<Chunks>) -> Coded {
        Coded {
            encoding: self.encoding,
            limits: self.limits,
            plain_len: self.plain_len(),
            body,
            plain,
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Decoder").field(&self.encoding).finish()
    }
}

impl From<InflateError> for RouteError {
    fn from(error: InflateError) -> Self {
        if error.is_too_large() {
            return Self::new(
                RouteErrorKind::BodyTooLarge,
                format!("the request body {error}"),
            );
        }
        Self::new(
            RouteErrorKind::InvalidBody,
            "the request body can't be decompressed",
        )
        .with_source(error)
    }
}
