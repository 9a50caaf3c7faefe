//! Reading a request's body whole, within a limit.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;
use http_body_util::LengthLimitError;

use crate::error::{BoxError, in_chain};

/// What of a body has been read so far.
///
/// A body that comes in one chunk is kept as it is. From the second chunk on
/// there is one growing buffer, because the peek needs one slice, and because
/// a list of chunks costs a client's one-byte chunks forty times their size.
#[derive(Debug)]
pub(crate) struct BodyBuffer {
    first: Bytes,
    joined: BytesMut,
    trailers: Option<Box<HeaderMap>>,
    limit: usize,
}

/// A body that was read to its end.
#[derive(Debug)]
pub(crate) struct Received {
    /// All of it in one piece.
    pub(crate) data: Bytes,
    pub(crate) trailers: Option<Box<HeaderMap>>,
}

/// Why a body could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    TooLarge,
    Failed(BoxError),
}

impl BodyBuffer {
    /// The largest allocation made on a client's word alone.
    const TRUSTED: usize = 1 << 20;

    pub(crate) fn new(limit: usize) -> Self {
        Self {
            first: Bytes::new(),
            joined: BytesMut::new(),
            trailers: None,
            limit,
        }
    }

    /// Reads on until the body has ended.
    pub(crate) fn poll_fill<B>(
        &mut self,
        mut body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ReadError>>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        while let Some(frame) = ready!(body.as_mut().poll_frame(cx)) {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return Poll::Ready(Err(ReadError::from(error.into()))),
            };
            match frame.into_data() {
                Ok(mut data) => {
                    let chunk = data.copy_to_bytes(data.remaining());
                    let expected = body.size_hint().lower();
                    if let Err(error) = self.push(chunk, expected) {
                        return Poll::Ready(Err(error));
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.trailers.get_or_insert_default().extend(trailers);
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// `expected` is how much the body says will follow.
    fn push(&mut self, chunk: Bytes, expected: u64) -> Result<(), ReadError> {
        let read = self.first.len() + self.joined.len();
        if chunk.len() > self.limit - read {
            return Err(ReadError::TooLarge);
        }
        if read == 0 {
            self.first = chunk;
            return Ok(());
        }
        if self.joined.is_empty() {
            let expected = usize::try_from(expected).unwrap_or(usize::MAX);
            self.joined
                .reserve(read + chunk.len() + expected.min(Self::TRUSTED));
            self.joined
                .extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.joined.extend_from_slice(&chunk);
        Ok(())
    }

    /// Takes the body out.
    pub(crate) fn take(&mut self) -> Received {
        let data = if self.joined.is_empty() {
            std::mem::take(&mut self.first)
        } else {
            self.joined.split().freeze()
        };
        Received {
            data,
            trailers: self.trailers.take(),
        }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }
}

impl From<BoxError> for ReadError {
    /// A limit set by a layer above counts as ours.
    fn from(error: BoxError) -> Self {
        if in_chain(&*error, |error| error.is::<LengthLimitError>()) {
            Self::TooLarge
        } else {
            Self::Failed(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, stream};
    use http_body::Frame;
    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;

    fn read<B>(body: B, limit: usize) -> Result<Received, ReadError>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let mut body = std::pin::pin!(body);
        let mut buffer = BodyBuffer::new(limit);
        std::future::poll_fn(|cx| buffer.poll_fill(body.as_mut(), cx))
            .now_or_never()
            .expect("the body is ready")
            .map(|()| buffer.take())
    }

    fn chunks(chunks: &[&'static str]) -> impl Body<Data = Bytes, Error = BoxError> + use<> {
        let frames: Vec<_> = chunks
            .iter()
            .map(|chunk| Ok(Frame::data(Bytes::from(*chunk))))
            .collect();
        StreamBody::new(stream::iter(frames))
    }

    #[test]
    fn one_chunk_is_not_copied() {
        let chunk = Bytes::from(vec![7; 4096]);
        let data = read(Full::new(chunk.clone()), 4096).unwrap().data;
        assert_eq!(data.as_ptr(), chunk.as_ptr());
    }

    #[test]
    fn chunks_are_joined_in_order_and_empty_ones_do_no_harm() {
        let received = read(chunks(&["", "ab", "", "c", "def", ""]), 6).unwrap();
        assert_eq!(received.data, "abcdef");
        assert_eq!(received.trailers, None);
    }

    #[test]
    fn the_limit_is_the_last_byte_allowed() {
        assert!(read(chunks(&["abc", "def"]), 6).is_ok());
        assert!(matches!(
            read(chunks(&["abc", "def", "g"]), 6),
            Err(ReadError::TooLarge)
        ));
        assert!(matches!(
            read(chunks(&["abcdefg"]), 6),
            Err(ReadError::TooLarge)
        ));
    }

    #[test]
    fn a_limit_above_counts_as_too_large() {
        let body = http_body_util::Limited::new(chunks(&["abc"]), 2);
        assert!(matches!(read(body, 100), Err(ReadError::TooLarge)));
    }

    #[test]
    fn trailers_are_kept() {
        let trailers =
            HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("x"))]);
        let body = chunks(&["ab"]).with_trailers(std::future::ready(Some(Ok(trailers.clone()))));
        assert_eq!(read(body, 2).unwrap().trailers, Some(Box::new(trailers)));
    }
}
