//! Undoes a coding, to inspect a body or to change it.

use std::fmt;

use bytes::Bytes;
use http::HeaderMap;

#[cfg(not(feature = "decompression"))]
use super::unavailable::{Deflate, Inflate, InflateError};
#[cfg(feature = "decompression")]
use super::{
    deflate::Deflate,
    inflate::{Inflate, InflateError},
};
use super::{encoding::Unsupported, inflate_limits::InflateLimits};
use crate::{
    config::Encoding,
    error::{ACCEPTED_ENCODINGS, RouteError, RouteErrorKind},
    pieces::{Chunks, Edits, Splice},
};

/// Inflates a body as it arrives, only to inspect it.
pub(crate) struct Decoder {
    pub(crate) encoding: Encoding,
    limits: InflateLimits,
    inflate: Inflate,
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
        }))
    }

    pub(crate) fn feed(
        &mut self,
        chunk: &[u8],
        sink: impl FnMut(&[u8]) -> Result<(), RouteError>,
    ) -> Result<(), RouteError> {
        self.inflate.feed(chunk, sink)
    }

    pub(crate) fn finish(&mut self) -> Result<(), RouteError> {
        self.inflate.finish().map_err(RouteError::from)
    }

    /// The whole body without its coding.
    pub(crate) fn undo(&self, body: Chunks) -> Result<Chunks, RouteError> {
        let mut inflate = Inflate::new(self.encoding, self.limits);
        let mut plain = Chunks::default();
        for chunk in body {
            inflate.feed(&chunk, |piece| {
                plain.push(Bytes::copy_from_slice(piece));
                Ok::<_, RouteError>(())
            })?;
        }
        inflate.finish()?;
        Ok(plain)
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Decoder").field(&self.encoding).finish()
    }
}

/// Applies the edits to a plain body and compresses the result again.
///
/// An error if the codec fails.
pub(crate) fn recode(
    encoding: Encoding,
    plain: Chunks,
    edits: Edits,
) -> Result<Chunks, RouteError> {
    let mut deflate = Deflate::new(encoding);
    let mut splice = Splice::new(edits);
    let mut coded = Vec::new();
    let mut body = Chunks::default();
    let failed = |error| {
        RouteError::new(
            RouteErrorKind::InvalidBody,
            "the request body could not be compressed again",
        )
        .with_source(error)
    };
    for mut chunk in plain {
        while let Some(piece) = splice.next_piece(&mut chunk) {
            deflate.feed(&piece, &mut coded).map_err(failed)?;
        }
        body.push(Bytes::from(std::mem::take(&mut coded)));
    }
    deflate.finish(&mut coded).map_err(failed)?;
    body.push(Bytes::from(coded));
    Ok(body)
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
