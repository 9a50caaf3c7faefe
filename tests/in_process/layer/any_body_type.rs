//! Bodies of every kind: those that fail, and those of unusual types.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    convert::Infallible,
    error::Error,
    io,
    marker::PhantomPinned,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header::ETAG};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use test_kit::{
    answer::own,
    body::{script, text},
    mock::{assert_not_called, called, mock, ok, waits},
    request::{ASKED, REWRITTEN, asked, chat},
    table::simple,
};
use tokio_test::{assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_model_route::{ModelRouteLayer, RouteBody, RouteError, RouteErrorKind};

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_is_a_400_that_keeps_its_source() {
    let (mock, mut handle) = mock();
    let (upload, body) = script();
    let mut call = task::spawn(ModelRouteLayer::new(simple()).layer(mock).call(chat(body)));
    upload.data(&ASKED[..12]);
    waits(&mut call);
    upload.fail(io::Error::from(io::ErrorKind::ConnectionReset));
    let refused = own(assert_ready_ok!(call.poll()));
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(refused.code, "invalid_body");
    assert_reset(&refused.error);
    assert!(upload.is_dropped());
    assert_not_called(&mut handle);
}

/// The engine is told as well, and what it makes of its half does not count.
#[tokio::test(start_paused = true)]
async fn a_body_that_fails_on_its_way_is_a_400_that_keeps_its_source() {
    let (mock, mut handle) = mock();
    let (upload, body) = script();
    let mut call = task::spawn(ModelRouteLayer::new(simple()).layer(mock).call(chat(body)));
    upload.data(ASKED);
    waits(&mut call);
    let (request, reply) = called(&mut handle);
    upload.fail(io::Error::from(io::ErrorKind::ConnectionReset));
    let sent = request.into_body().collect().now_or_never().unwrap();
    assert_reset(sent.unwrap_err().downcast_ref().unwrap());
    assert!(upload.is_dropped());
    waits(&mut call);
    reply.send_response(ok("of a half"));
    let refused = own(assert_ready_ok!(call.poll()));
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(refused.code, "invalid_body");
    assert_reset(&refused.error);
}

#[track_caller]
fn assert_reset(error: &RouteError) {
    assert_eq!(error.kind(), RouteErrorKind::InvalidBody);
    let source = error.source().and_then(|e| e.downcast_ref::<io::Error>());
    assert_eq!(
        source.map(io::Error::kind),
        Some(io::ErrorKind::ConnectionReset)
    );
}

#[test]
fn trailers_travel_and_are_announced() {
    let (mock, mut handle) = mock();
    let (upload, body) = script();
    let trailers = HeaderMap::from_iter([(ETAG, HeaderValue::from_static("x"))]);
    upload.data(ASKED).trailers(trailers.clone()).end();
    let mut call = task::spawn(ModelRouteLayer::new(simple()).layer(mock).call(chat(body)));
    waits(&mut call);
    let (request, _reply) = called(&mut handle);
    assert_eq!(request.headers()["trailer"], "etag");
    assert!(!request.headers().contains_key("content-length"));
    let body = request
        .into_body()
        .collect()
        .now_or_never()
        .unwrap()
        .unwrap();
    assert_eq!(body.trailers(), Some(&trailers));
    assert_eq!(body.to_bytes(), REWRITTEN);
}

/// Data in two pieces: nothing that could be taken out as `Bytes` without a copy.
struct Halves(&'static [u8], &'static [u8]);

impl Buf for Halves {
    fn remaining(&self) -> usize {
        self.0.len() + self.1.len()
    }

    fn chunk(&self) -> &[u8] {
        if self.0.is_empty() { self.1 } else { self.0 }
    }

    fn advance(&mut self, count: usize) {
        let first = count.min(self.0.len());
        self.0.advance(first);
        self.1.advance(count - first);
    }
}

/// Not Bytes, not Unpin, not Sync.
struct Odd {
    // The cells are what makes it not Sync.
    frames: RefCell<VecDeque<Halves>>,
    polls: Cell<usize>,
    _pinned: PhantomPinned,
}

impl Odd {
    fn new(text: &'static str) -> Self {
        let chunks = text.as_bytes().chunks(8);
        let halves = |chunk: &'static [u8]| {
            let (first, second) = chunk.split_at(chunk.len() / 2);
            Halves(first, second)
        };
        Self {
            frames: RefCell::new(chunks.map(halves).collect()),
            polls: Cell::new(0),
            _pinned: PhantomPinned,
        }
    }
}

impl Body for Odd {
    type Data = Halves;
    // An error that is neither boxed nor possible.
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Halves>, Infallible>>> {
        // Every other poll has to be waited for.
        self.polls.set(self.polls.get() + 1);
        if self.polls.get() % 2 == 1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = self.frames.borrow_mut().pop_front();
        Poll::Ready(frame.map(|data| Ok(Frame::data(data))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_body_of_any_type() {
    let service =
        ModelRouteLayer::new(simple()).layer(service_fn(async |request: Request<RouteBody>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(text(
                request.into_body(),
            ))))
        }));
    let answer = service.oneshot(chat(Odd::new(ASKED))).await.unwrap();
    assert_eq!(text(answer.into_body()), REWRITTEN);
}

#[tokio::test(start_paused = true)]
async fn a_response_body_of_any_type() {
    let service =
        ModelRouteLayer::new(simple()).layer(service_fn(async |_: Request<RouteBody>| {
            Ok::<_, Infallible>(Response::new(Odd::new(ASKED)))
        }));
    let answer = service.oneshot(asked()).await.unwrap();
    let collected = Box::pin(answer.into_body()).collect().await.unwrap();
    assert_eq!(collected.to_bytes(), ASKED);
}
