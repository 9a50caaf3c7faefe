//! The client's body as it arrives, with its size limit and its time limit.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::LengthLimitError;
use pin_project_lite::pin_project;

use super::{pace::Pace, trailers::retain_trailers, wait::Wait};
use crate::{
    error::{BoxError, RouteError, RouteErrorKind, in_chain},
    model::Scan,
};

/// The unread part of a client's body, with its limits and the scan of its bytes.
///
/// Body and scan share one box, because they may outlive the response future: an
/// upload can go on while the engine already answers.
pub(crate) type Inbound = Pin<Box<Intake<dyn Body<Data = Bytes, Error = BoxError> + Send>>>;

pin_project! {
    #[project = IntakeProj]
    pub(crate) struct Intake<B: ?Sized> {
        pub(crate) scan: Scan,
        max_bytes: u64,
        received: u64,
        // Whether the body has ended, failed, or stopped for longer than allowed.
        is_over: bool,
        wait: Wait,
        trailers: Option<Box<HeaderMap>>,
        #[pin]
        body: B,
    }
}

/// The limits on a client's body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) bytes: u64,
    pub(crate) pace: Pace,
}

impl Limits {
    pub(crate) const NONE: Self = Self {
        bytes: u64::MAX,
        pace: Pace::ANY,
    };
}

/// Begins to receive `body`, every chunk of which is fed to `scan`.
pub(crate) fn receive<B>(body: B, scan: Scan, limits: Limits) -> Inbound
where
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    Box::pin(Intake {
        scan,
        max_bytes: limits.bytes,
        received: 0,
        is_over: false,
        wait: Wait::new(limits.pace),
        trailers: None,
        body: IntoBytes { body },
    })
}

impl<B> Intake<B>
where
    B: Body<Data = Bytes, Error = BoxError> + ?Sized,
{
    /// The length of the whole body, if it is known.
    pub(crate) fn total(&self) -> Option<u64> {
        Some(self.received + self.body.size_hint().exact()?)
    }

    /// Whether the client has not sent the next chunk yet: hyper would have handed
    /// over a chunk that it has.
    pub(crate) fn is_stalled(&self) -> bool {
        self.wait.is_long()
    }

    /// Whether all of the body has been read, or can't be.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }

    /// Whether it has been polled, upon which hyper sends its `100 Continue`.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.received > 0 || self.wait.has_begun()
    }

    /// Reads the next chunk only to throw it away, past all limits; its length, or
    /// `None` at the end.
    pub(crate) fn poll_past(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        let this = self.project();
        if *this.is_over {
            return Poll::Ready(None);
        }
        let frame = ready!(this.body.poll_frame(cx));
        let Some(Ok(frame)) = frame else {
            *this.is_over = true;
            return Poll::Ready(None);
        };
        Poll::Ready(Some(frame.data_ref().map_or(0, |data| data.len() as u64)))
    }

    pub(crate) fn scan(self: Pin<&mut Self>) -> &mut Scan {
        self.project().scan
    }

    pub(crate) fn take_trailers(self: Pin<&mut Self>) -> Option<Box<HeaderMap>> {
        self.project().trailers.take()
    }

    /// The next chunk, which is never empty; `None` at the end.
    ///
    /// The end of an invalid body is never handed out. If the length is known,
    /// the receiver takes the last chunk as the end, so that chunk is returned
    /// only after the scan has accepted the whole body.
    pub(crate) fn poll_chunk(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, RouteError>>> {
        let mut this = self.project();
        loop {
            if let Some(chunk) = this.scan.begun().cloned() {
                return this.poll_scan(chunk, cx);
            }
            let Poll::Ready(frame) = this.wait.poll(cx, |cx| this.body.as_mut().poll_frame(cx))
            else {
                return Poll::Pending;
            };
            let frame = match frame {
                Ok(frame) => frame,
                Err(too_slow) => {
                    *this.is_over = true;
                    return Poll::Ready(Some(Err(too_slow)));
                }
            };
            *this.is_over = matches!(frame, None | Some(Err(_)));
            match frame.map(|frame| frame.map(Frame::into_data)) {
                None => return Poll::Ready(this.scan.finish().err().map(Err)),
                Some(Err(error)) => return Poll::Ready(Some(Err(failed(error)))),
                Some(Ok(Ok(chunk))) if chunk.is_empty() => {}
                Some(Ok(Ok(chunk))) => {
                    this.wait.received(chunk.len());
                    *this.received += chunk.len() as u64;
                    if *this.received > *this.max_bytes {
                        let error = RouteError::body_too_large(*this.max_bytes);
                        return Poll::Ready(Some(Err(error)));
                    }
                    return this.poll_scan(chunk, cx);
                }
                Some(Ok(Err(frame))) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        keep_trailers(this.trailers, trailers);
                    }
                }
            }
        }
    }
}

impl<B: Body + ?Sized> IntakeProj<'_, B> {
    /// Ready with `chunk` once it has been scanned.
    fn poll_scan(
        self,
        chunk: Bytes,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, RouteError>>> {
        let mut scanned = ready!(self.scan.poll_feed(&chunk, cx));
        if self.body.is_end_stream() || self.body.size_hint().exact() == Some(0) {
            scanned = scanned.and_then(|()| self.scan.finish());
        }
        Poll::Ready(Some(scanned.map(|()| chunk)))
    }
}

/// Keeps those that go on to the engine.
fn keep_trailers(kept: &mut Option<Box<HeaderMap>>, mut fields: HeaderMap) {
    retain_trailers(&mut fields);
    if !fields.is_empty() {
        kept.get_or_insert_default().extend(fields);
    }
}

/// The error for a body that failed, perhaps at the limit of a layer above.
fn failed(error: BoxError) -> RouteError {
    if in_chain(&*error, |error| error.is::<LengthLimitError>()) {
        return RouteError::above_outer_limit();
    }
    RouteError::new(
        RouteErrorKind::InvalidBody,
        "the request body could not be read to its end",
    )
    .with_source(error)
}

pin_project! {
    /// Adapts any body to `Bytes` and boxed errors. (http-body-util's `MapFrame`
    /// loses the size hint, and with it the length.)
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
