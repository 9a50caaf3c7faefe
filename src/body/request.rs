//! The body that goes to the engine.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};

use pin_project_lite::pin_project;

use crate::error::BoxError;

/// The request body that the inner service gets.
///
/// A routed body has been read and can be sent again: a clone shares its
/// bytes and starts at the same place. Its length is exact, unless there are
/// trailers, which HTTP/1.1 can only send after chunks (RFC 9112 section 7.1.2).
///
/// The body of a request that was forwarded without being routed streams
/// through, so a clone of it has nothing to send and fails when it is read;
/// [`is_replayable`](Self::is_replayable) tells the two apart.
pub struct RouteBody(Kind);

enum Kind {
    Buffered(Buffered),
    /// `None` in a clone.
    Streaming(Option<UnsyncBoxBody<Bytes, BoxError>>),
}

/// At most what stood before the model, the model, and what stood after it.
#[derive(Clone, Default)]
struct Buffered {
    pieces: [Bytes; 3],
    trailers: Option<Box<HeaderMap>>,
}

impl RouteBody {
    pub(crate) fn buffered(pieces: [Bytes; 3], trailers: Option<Box<HeaderMap>>) -> Self {
        Self(Kind::Buffered(Buffered { pieces, trailers }))
    }

    pub(crate) fn streaming<B>(body: B) -> Self
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Kind::Streaming(Some(IntoBytes { body }.boxed_unsync())))
    }

    /// Whether a clone of this body sends the same bytes.
    pub fn is_replayable(&self) -> bool {
        matches!(self.0, Kind::Buffered(_))
    }
}

pin_project! {
    /// Any body as one of `Bytes` and boxed errors. (http-body-util's `MapFrame`
    /// forgets the size hint, and with it the length.)
    struct IntoBytes<B> {
        #[pin]
        body: B,
    }
}

impl<B> Body for IntoBytes<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(self.project().body.poll_frame(cx));
        Poll::Ready(frame.map(|frame| match frame {
            Ok(frame) => Ok(frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))),
            Err(error) => Err(error.into()),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Buffered {
    fn remaining(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }

    fn next_frame(&mut self) -> Option<Frame<Bytes>> {
        self.pieces
            .iter_mut()
            .find(|piece| !piece.is_empty())
            .map(|piece| Frame::data(std::mem::take(piece)))
            .or_else(|| Some(Frame::trailers(*self.trailers.take()?)))
    }
}

impl Default for RouteBody {
    /// An empty body.
    fn default() -> Self {
        Self(Kind::Buffered(Buffered::default()))
    }
}

impl From<Bytes> for RouteBody {
    fn from(data: Bytes) -> Self {
        Self::buffered([data, Bytes::new(), Bytes::new()], None)
    }
}

impl Clone for RouteBody {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Kind::Buffered(body) => Kind::Buffered(body.clone()),
            Kind::Streaming(_) => Kind::Streaming(None),
        })
    }
}

impl Body for RouteBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.get_mut().0 {
            Kind::Buffered(body) => Poll::Ready(body.next_frame().map(Ok)),
            Kind::Streaming(Some(body)) => Pin::new(body).poll_frame(cx),
            Kind::Streaming(None) => Poll::Ready(Some(Err(
                "a body that was not buffered can't be sent again".into(),
            ))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Buffered(body) => body.remaining() == 0 && body.trailers.is_none(),
            Kind::Streaming(body) => body.as_ref().is_some_and(Body::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Buffered(body) if body.trailers.is_none() => {
                SizeHint::with_exact(body.remaining())
            }
            Kind::Buffered(body) => {
                let mut hint = SizeHint::new();
                hint.set_lower(body.remaining());
                hint
            }
            Kind::Streaming(Some(body)) => body.size_hint(),
            Kind::Streaming(None) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for RouteBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RouteBody");
        match &self.0 {
            Kind::Buffered(body) => debug.field("remaining", &body.remaining()),
            Kind::Streaming(body) => debug.field("streaming", &body.is_some()),
        };
        debug.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use http::{HeaderValue, header::ETAG};

    use super::*;

    fn pieces(pieces: [&'static str; 3]) -> [Bytes; 3] {
        pieces.map(Bytes::from)
    }

    fn collect(body: RouteBody) -> Result<http_body_util::Collected<Bytes>, BoxError> {
        body.collect().now_or_never().expect("the body is ready")
    }

    #[test]
    fn the_length_is_exact_all_along() {
        let mut body = RouteBody::buffered(pieces(["ab", "", "c"]), None);
        for expected in [3, 1] {
            assert_eq!(body.size_hint().exact(), Some(expected));
            assert!(!body.is_end_stream());
            assert!(body.frame().now_or_never().unwrap().is_some());
        }
        assert_eq!(body.size_hint().exact(), Some(0));
        assert!(body.is_end_stream());
        assert!(body.frame().now_or_never().unwrap().is_none());
    }

    #[test]
    fn trailers_come_last_and_leave_the_length_open() {
        let trailers = HeaderMap::from_iter([(ETAG, HeaderValue::from_static("x"))]);
        let body = RouteBody::buffered(pieces(["a", "b", "c"]), Some(Box::new(trailers.clone())));
        assert_eq!(body.size_hint().exact(), None);
        let collected = collect(body).unwrap();
        assert_eq!(collected.trailers(), Some(&trailers));
        assert_eq!(collected.to_bytes(), "abc");
    }

    #[test]
    fn a_clone_sends_the_same_again() {
        let body = RouteBody::buffered(pieces(["a", "b", "c"]), None);
        let again = body.clone();
        assert!(body.is_replayable());
        assert_eq!(collect(body).unwrap().to_bytes(), "abc");
        assert_eq!(collect(again).unwrap().to_bytes(), "abc");
    }

    #[test]
    fn a_streaming_body_goes_through_once() {
        let body = RouteBody::streaming(http_body_util::Full::new(Bytes::from("abc")));
        let again = body.clone();
        assert!(!body.is_replayable() && !again.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(3));
        assert_eq!(collect(body).unwrap().to_bytes(), "abc");
        assert!(collect(again).is_err());
    }
}
