//! The body that is sent to the engine.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::{Body, Frame, SizeHint};

use super::{
    body_stream::BodyStream,
    exchange::{Attached, Exchange},
};
use crate::{
    coding::Recast,
    error::RouteError,
    pieces::{Chunks, Edited, Edits},
    route::RouteDecision,
    upload::Reader,
    wire::{Payload, PayloadContent, rewrite},
};

/// The request body that the inner service receives.
///
/// It is either complete, or forwarded while the client is still sending it. A
/// clone starts at the same position and sends the same bytes again, as long as
/// there are few enough to keep
/// ([`replay_bytes`](crate::ModelRouteLayer::replay_bytes)); a larger body is
/// sent by the first clone that is polled, see
/// [`is_replayable`](Self::is_replayable).
///
/// Its length is exact if the body is complete or the client has declared the
/// length, and otherwise unknown. A body with trailers has no announced length
/// either, because HTTP/1.1 can send trailers only after chunks (RFC 9112
/// section 7.1.2). Its error is a boxed [`RouteError`](crate::RouteError): the
/// client has stopped sending, or has sent a body that must not be forwarded.
#[derive(Clone)]
pub struct RouteBody {
    content: Content,
    /// `None` for a request that is forwarded without being routed.
    exchange: Option<Attached>,
}

#[derive(Clone)]
enum Content {
    /// A complete body in one chunk, as most are.
    Chunk(Edited),
    /// In a box: HTTP clients move a body some twenty times before they poll it.
    Stream(Box<BodyStream>),
}

impl Content {
    fn whole(
        chunks: Chunks,
        trailers: Option<Box<HeaderMap>>,
        edits: Edits,
        replay_bytes: u64,
    ) -> Self {
        let is_kept = chunks.len() <= replay_bytes;
        let may_be_chunk = is_kept && trailers.is_none();
        match (chunks.into_only(), edits) {
            (Ok(body), Edits::None) if may_be_chunk => Self::Chunk(Edited::new(body, None)),
            (Ok(body), Edits::One(edit)) if may_be_chunk => {
                Self::Chunk(Edited::new(body, Some(edit)))
            }
            (chunks, edits) => {
                let chunks = chunks.map_or_else(|several| several, Chunks::from);
                Self::Stream(BodyStream::whole(chunks, trailers, edits, is_kept))
            }
        }
    }

    /// How many bytes are still to be sent, if that is known.
    fn remaining(&self) -> Option<u64> {
        match self {
            Self::Chunk(chunk) => Some(chunk.len()),
            Self::Stream(stream) => stream.remaining(),
        }
    }
}

impl From<Content> for RouteBody {
    fn from(content: Content) -> Self {
        Self {
            content,
            exchange: None,
        }
    }
}

impl RouteBody {
    pub(crate) fn whole(
        chunks: Chunks,
        trailers: Option<Box<HeaderMap>>,
        edits: Edits,
        replay_bytes: u64,
    ) -> Self {
        Content::whole(chunks, trailers, edits, replay_bytes).into()
    }

    /// A body that has to be made; `length` is that after the edits, if it is known and announced.
    pub(crate) fn making(
        recast: Box<Recast>,
        trailers: Option<Box<HeaderMap>>,
        edits: Edits,
        length: Option<u64>,
        replay_bytes: u64,
    ) -> Self {
        let stream = BodyStream::making(recast, trailers, edits, length, replay_bytes);
        Content::Stream(stream).into()
    }

    /// `total` is the length of the client's body, if it is known.
    pub(crate) fn upload(
        reader: Reader,
        total: Option<u64>,
        edits: Edits,
        replay_bytes: u64,
    ) -> Self {
        Content::Stream(BodyStream::upload(reader, total, edits, replay_bytes)).into()
    }

    /// Makes this the first body of `exchange`.
    pub(crate) fn attach(&mut self, exchange: Arc<Exchange>) {
        self.exchange = Some(Attached::first(exchange));
    }

    pub(crate) fn exchange(&self) -> Option<&Arc<Exchange>> {
        self.exchange.as_ref().map(Attached::exchange)
    }

    /// Turns this body, of which nothing has been sent, into that of another attempt.
    pub(crate) fn begin_again(&mut self, payload: Payload) {
        let chunk = match &mut self.content {
            Content::Stream(stream) => return stream.begin_again(payload),
            Content::Chunk(chunk) => std::mem::take(chunk),
        };
        let Payload {
            content,
            edits,
            length,
        } = payload;
        let unchanged = || PayloadContent::Made(chunk.into_body().into());
        self.content = match content.unwrap_or_else(unchanged) {
            PayloadContent::Made(chunks) => Content::whole(chunks, None, edits, u64::MAX),
            PayloadContent::Making(recast) => {
                Content::Stream(BodyStream::making(recast, None, edits, length, u64::MAX))
            }
        };
    }

    /// Whether all that the engine is to get is there, or arrives.
    pub(crate) fn is_made(&self) -> bool {
        match &self.content {
            Content::Chunk(_) => true,
            Content::Stream(stream) => stream.is_made(),
        }
    }

    /// Ready once it is there, or can't be made. The head of `request` then announces its length.
    pub(crate) fn poll_made(
        request: &mut Request<Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RouteError>> {
        let Self { content, exchange } = request.body_mut();
        let Content::Stream(stream) = content else {
            return Poll::Ready(Ok(()));
        };
        if !stream.is_made()
            && let Some(length) = ready!(stream.poll_length(exchange.as_ref(), cx))?
        {
            rewrite::set_length(request.headers_mut(), length);
        }
        Poll::Ready(Ok(()))
    }

    /// The decision of the current attempt: where the request goes, and why.
    /// `None` for a request that is forwarded without being routed.
    ///
    /// It is meant for layers below the
    /// [`ModelRouteLayer`](crate::ModelRouteLayer); layers above find the final
    /// decision in the response's extensions.
    pub fn decision(&self) -> Option<RouteDecision> {
        Some(self.exchange()?.decision())
    }

    /// Whether a clone of this body sends the same bytes.
    ///
    /// For a body that is larger than
    /// [`replay_bytes`](crate::ModelRouteLayer::replay_bytes) this is true until one of
    /// its clones is polled. While a body of unknown length is forwarded, it can change
    /// to `false` as well.
    pub fn is_replayable(&self) -> bool {
        match &self.content {
            Content::Chunk(_) => true,
            Content::Stream(stream) => stream.is_replayable(),
        }
    }
}

impl From<Bytes> for RouteBody {
    fn from(data: Bytes) -> Self {
        Content::Chunk(Edited::new(data, None)).into()
    }
}

impl Default for RouteBody {
    /// An empty body.
    fn default() -> Self {
        Self::from(Bytes::new())
    }
}

impl Body for RouteBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self { content, exchange } = self.get_mut();
        if let Some(attached) = exchange {
            attached.exchange().begin_body();
        }
        match content {
            Content::Chunk(chunk) => {
                Poll::Ready(chunk.next_piece().map(|piece| Ok(Frame::data(piece))))
            }
            Content::Stream(stream) => stream.poll_frame(exchange.as_ref(), cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.content.remaining() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        let remaining = self.content.remaining();
        remaining.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl fmt::Debug for RouteBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteBody")
            .field("remaining", &self.content.remaining())
            .field("replayable", &self.is_replayable())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use http::{HeaderValue, header::ETAG};
    use http_body_util::BodyExt;

    use super::*;
    use crate::{attempt::ResponseBody, pieces::Edit};

    fn whole(trailers: Option<HeaderMap>) -> RouteBody {
        body("abXc".to_owned(), 2, trailers)
    }

    /// With `YY` in place of the byte at this position.
    fn body(text: String, at: u64, trailers: Option<HeaderMap>) -> RouteBody {
        let mut chunks = Chunks::default();
        let len = text.len() as u64;
        chunks.push(Bytes::from(text));
        let edits = Edits::from(vec![Edit {
            span: at..at + 1,
            value: Bytes::from("YY"),
        }]);
        RouteBody::whole(chunks, trailers.map(Box::new), edits, len)
    }

    fn collect(body: RouteBody) -> http_body_util::Collected<Bytes> {
        let collected = body.collect().now_or_never();
        collected.expect("the body is ready").expect("it is whole")
    }

    #[test]
    fn the_length_is_exact_all_along() {
        let mut body = body("a".repeat(5000), 4900, None);
        for expected in [5001, 101, 99] {
            assert_eq!(body.size_hint().exact(), Some(expected));
            assert!(!body.is_end_stream());
            assert!(body.frame().now_or_never().unwrap().is_some());
        }
        assert_eq!(body.size_hint().exact(), Some(0));
        assert!(body.is_end_stream());
        assert!(body.frame().now_or_never().unwrap().is_none());
    }

    #[test]
    fn a_short_body_is_sent_in_one_piece() {
        let mut body = whole(None);
        let again = body.clone();
        let frame = body.frame().now_or_never().unwrap().unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "abYYc");
        assert!(body.is_end_stream());
        assert_eq!(collect(again).to_bytes(), "abYYc");
    }

    #[test]
    fn trailers_come_last_and_leave_the_length_open() {
        let trailers = HeaderMap::from_iter([(ETAG, HeaderValue::from_static("x"))]);
        let body = whole(Some(trailers.clone()));
        assert_eq!(body.size_hint().exact(), None);
        let collected = collect(body);
        assert_eq!(collected.trailers(), Some(&trailers));
        assert_eq!(collected.to_bytes(), "abYYc");
    }

    #[test]
    fn a_clone_sends_the_same_again() {
        let body = whole(None);
        let again = body.clone();
        assert!(body.is_replayable());
        assert_eq!(collect(body).to_bytes(), "abYYc");
        assert_eq!(collect(again).to_bytes(), "abYYc");
    }

    /// HTTP clients and servers move bodies some twenty times.
    #[test]
    fn bodies_are_small_to_move() {
        assert!(size_of::<RouteBody>() <= 88);
        assert!(size_of::<ResponseBody<()>>() <= 72);
    }

    #[test]
    fn an_empty_body_has_ended() {
        assert!(RouteBody::from(Bytes::new()).is_end_stream());
        assert_eq!(RouteBody::default().size_hint().exact(), Some(0));
    }
}
