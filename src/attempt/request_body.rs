//! The body that is sent to the engine.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::{Body, Frame, SizeHint};

use super::exchange::{Attached, Exchange};
use crate::{
    coding::Recast,
    error::{BoxError, RouteError},
    pieces::{Chunks, Edits, Splice, lock},
    route::RouteDecision,
    upload::Reader,
    wire::{Payload, PayloadContent, rewrite},
};

/// The request body that the inner service receives.
///
/// It is either complete, or forwarded while the client still sends it. A clone
/// starts at the same position and sends the same bytes again, as long as they
/// are few enough to be kept
/// ([`replay_bytes`](crate::ModelRouteLayer::replay_bytes)); a larger body is
/// sent by the first clone that is polled, see
/// [`is_replayable`](Self::is_replayable).
///
/// Its length is exact if the body is complete or the client has announced the
/// length, and otherwise unknown. A body with trailers has no announced length
/// either, because HTTP/1.1 can send trailers only after chunks (RFC 9112
/// section 7.1.2). Its error is a boxed [`RouteError`](crate::RouteError): the
/// client has stopped sending, or has sent a body that must not be forwarded.
#[derive(Clone)]
pub struct RouteBody {
    content: Content,
    /// How many bytes are still to be sent, if that is known.
    remaining: Option<u64>,
    /// `None` for a request that is forwarded without being routed.
    exchange: Option<Attached>,
}

#[derive(Clone)]
enum Content {
    /// Each clone has its own.
    Kept(Unsent),
    /// Too large for that: the first of the clones that is polled sends it, and as long as
    /// none is, any of them can.
    Single(Arc<Mutex<Option<Unsent>>>),
    /// What that clone has begun to send.
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
    /// All chunks are there; most bodies have only the first.
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

impl Content {
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

    fn is_replayable(&self) -> bool {
        match self {
            Self::Kept(unsent) => unsent.is_replayable(),
            Self::Single(unsent) => lock(unsent).as_ref().is_some_and(Unsent::is_intact),
            Self::Begun(_) => false,
        }
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
        if let Source::Whole(None) = self.source
            && let Some(all) = self.splice.join(&mut self.chunk)
        {
            return Poll::Ready(Some(Ok(Frame::data(all))));
        }
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

impl RouteBody {
    pub(crate) fn whole(
        chunks: Chunks,
        trailers: Option<Box<HeaderMap>>,
        edits: Edits,
        replay_bytes: u64,
    ) -> Self {
        let remaining = edits.apply_to_len(chunks.len());
        let is_kept = chunks.len() <= replay_bytes;
        let (chunk, rest) = chunks.into_parts();
        let remaining = trailers.is_none().then_some(remaining);
        let unsent = Unsent {
            chunk,
            source: Source::whole(rest, trailers),
            splice: Splice::new(edits),
        };
        Self {
            content: Content::new(unsent, is_kept),
            remaining,
            exchange: None,
        }
    }

    /// A body that has to be made; `length` is that after the edits, if it is known and announced.
    pub(crate) fn making(
        recast: Box<Recast>,
        trailers: Option<Box<HeaderMap>>,
        edits: Edits,
        length: Option<u64>,
        replay_bytes: u64,
    ) -> Self {
        let unsent = Unsent {
            chunk: Bytes::new(),
            source: Source::making(recast, trailers, replay_bytes),
            splice: Splice::new(edits),
        };
        Self {
            content: Content::new(unsent, true),
            remaining: length,
            exchange: None,
        }
    }

    /// `total` is the length of the client's body, if it is known.
    pub(crate) fn upload(
        reader: Reader,
        total: Option<u64>,
        edits: Edits,
        replay_bytes: u64,
    ) -> Self {
        let is_kept = total.is_none_or(|total| total <= replay_bytes);
        let remaining = total.map(|total| edits.apply_to_len(total));
        let unsent = Unsent {
            chunk: Bytes::new(),
            source: Source::Upload(reader),
            splice: Splice::new(edits),
        };
        Self {
            content: Content::new(unsent, is_kept),
            remaining,
            exchange: None,
        }
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
        self.remaining = payload.length;
        match &mut self.content {
            Content::Kept(unsent) | Content::Begun(unsent) => unsent.begin_again(payload),
            Content::Single(unsent) => {
                if let Some(unsent) = &mut *lock(unsent) {
                    unsent.begin_again(payload);
                }
            }
        }
    }

    /// Whether all that the engine is to get is there, or arrives.
    pub(crate) fn is_made(&self) -> bool {
        let is_made = |unsent: &Unsent| !matches!(unsent.source, Source::Making(_));
        match &self.content {
            Content::Kept(unsent) | Content::Begun(unsent) => is_made(unsent),
            Content::Single(unsent) => lock(unsent).as_ref().is_none_or(is_made),
        }
    }

    /// Ready once it is there, or can't be made. The head of `request` then announces its length.
    pub(crate) fn poll_made(
        request: &mut Request<Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RouteError>> {
        if request.body().is_made() {
            return Poll::Ready(Ok(()));
        }
        if let Some(length) = ready!(request.body_mut().poll_length(cx))? {
            rewrite::set_length(request.headers_mut(), length);
        }
        Poll::Ready(Ok(()))
    }

    /// Ready once it is made; with its length, if it was made now and that is to be announced.
    fn poll_length(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<u64>, RouteError>> {
        let exchange = self.exchange.as_ref();
        let made = match &mut self.content {
            Content::Kept(unsent) | Content::Begun(unsent) => unsent.poll_made(exchange, cx),
            Content::Single(unsent) => match &mut *lock(unsent) {
                Some(unsent) => unsent.poll_made(exchange, cx),
                None => return Poll::Ready(Ok(None)),
            },
        };
        let Some(made) = ready!(made)? else {
            return Poll::Ready(Ok(None));
        };
        if !made.is_kept {
            self.content.keep_once();
        }
        self.remaining = self.remaining.or(made.is_announced.then_some(made.len));
        Poll::Ready(Ok(self.remaining))
    }

    /// The decision of the current attempt: where the request goes, and why.
    /// `None` for a request that is forwarded without being routed.
    ///
    /// It is meant for layers below the
    /// [`ModelRouteLayer`](crate::ModelRouteLayer); layers above find the decision
    /// that led to the answer in the response's extensions.
    pub fn decision(&self) -> Option<RouteDecision> {
        Some(self.exchange()?.decision())
    }

    /// Whether a clone of this body sends the same bytes.
    ///
    /// For a body that is larger than
    /// [`replay_bytes`](crate::ModelRouteLayer::replay_bytes) this holds until one of its
    /// clones is polled. While a body of unknown length is forwarded, it can change to
    /// `false` as well.
    pub fn is_replayable(&self) -> bool {
        self.content.is_replayable()
    }
}

impl From<Bytes> for RouteBody {
    fn from(data: Bytes) -> Self {
        Self {
            remaining: Some(data.len() as u64),
            content: Content::Kept(Unsent {
                chunk: data,
                source: Source::Whole(None),
                splice: Splice::default(),
            }),
            exchange: None,
        }
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
        let this = self.get_mut();
        if let Some(exchange) = this.exchange() {
            exchange.begin_body();
        }
        // Where a retry policy of the caller's has it sent again.
        if !this.is_made() {
            ready!(this.poll_length(cx))?;
        }
        let Some(unsent) = this.content.begin() else {
            return Poll::Ready(Some(Err(RouteError::too_large_to_repeat().into())));
        };
        let frame = ready!(unsent.poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let (Some(data), Some(remaining)) = (frame.data_ref(), &mut this.remaining)
        {
            *remaining = remaining.saturating_sub(data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl fmt::Debug for RouteBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteBody")
            .field("remaining", &self.remaining)
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
    use crate::pieces::Edit;

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

    #[test]
    fn an_empty_body_has_ended() {
        assert!(RouteBody::from(Bytes::new()).is_end_stream());
        assert_eq!(RouteBody::default().size_hint().exact(), Some(0));
    }
}
