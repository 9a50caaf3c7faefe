//! The requests of a connection, and their answers.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{Response, StatusCode, Version},
};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use crate::stuck::Answers;

/// The requests of a connection, as the service and its socket both know them.
#[derive(Clone)]
pub(crate) struct Requests(Arc<Counts>);

struct Counts {
    send_timeout: Duration,
    open: AtomicUsize,
    seen: AtomicUsize,
    /// HTTP/2 mixes heads with all else.
    is_http2: AtomicBool,
    /// After a 101 there are no heads.
    is_handed_over: AtomicBool,
    /// A body was let go before its end.
    has_unread: AtomicBool,
    over_http2: Arc<Answers>,
}

/// A request whose answer has not been sent.
struct Open(Requests);

impl Requests {
    /// None yet. Their client may take nothing of an answer for `send_timeout`.
    pub(crate) fn new(send_timeout: Duration) -> Self {
        Self(Arc::new(Counts {
            send_timeout,
            open: AtomicUsize::new(0),
            seen: AtomicUsize::new(0),
            is_http2: AtomicBool::new(false),
            is_handed_over: AtomicBool::new(false),
            has_unread: AtomicBool::new(false),
            over_http2: Arc::default(),
        }))
    }

    pub(crate) fn send_timeout(&self) -> Duration {
        self.0.send_timeout
    }

    /// A head is there; `answer` answers it.
    pub(crate) async fn count(
        self,
        version: Version,
        answer: impl Future<Output = Response<Body>>,
    ) -> Response<Body> {
        self.0.seen.fetch_add(1, Ordering::SeqCst);
        self.0.open.fetch_add(1, Ordering::SeqCst);
        let is_http2 = version == Version::HTTP_2;
        if is_http2 && !self.0.is_http2.swap(true, Ordering::SeqCst) {
            let answers = Arc::downgrade(&self.0.over_http2);
            tokio::spawn(Answers::end_stuck(answers, self.send_timeout()));
        }
        let open = Open(self);
        let answer = answer.await;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            open.0.0.is_handed_over.store(true, Ordering::SeqCst);
        }
        answer.map(|body| {
            let body = match is_http2 {
                true => open.0.0.over_http2.watched(body),
                false => body,
            };
            Body::new(Held { body, _open: open })
        })
    }

    /// The body of a request, which says if it is not read to its end.
    pub(crate) fn body(&self, body: Incoming) -> Body {
        if body.is_end_stream() {
            return Body::empty();
        }
        Body::new(Sent {
            body,
            is_over: false,
            requests: self.clone(),
        })
    }

    /// Whether what arrives now is the begin of a head. Of HTTP/2 only the first has a limit.
    pub(crate) fn awaits_head(&self) -> bool {
        let is_idle = self.0.open.load(Ordering::SeqCst) == 0;
        is_idle && !self.is_http2() && !self.is_handed_over()
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.0.is_http2.load(Ordering::SeqCst)
    }

    /// Whether what arrives is no longer the server's.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.0.is_handed_over.load(Ordering::SeqCst)
    }

    /// Whether the client may still be sending what nobody reads.
    pub(crate) fn has_unread(&self) -> bool {
        self.0.has_unread.load(Ordering::SeqCst)
    }

    /// Whether there has been one.
    pub(crate) fn any(&self) -> bool {
        self.seen() > 0
    }

    /// How many there have been.
    pub(crate) fn seen(&self) -> usize {
        self.0.seen.load(Ordering::SeqCst)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A request's body.
struct Sent {
    body: Incoming,
    is_over: bool,
    requests: Requests,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        this.is_over |= matches!(polled, Poll::Ready(None));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if !self.is_over && !self.body.is_end_stream() {
            self.requests.0.has_unread.store(true, Ordering::SeqCst);
        }
    }
}

/// An answer's body, and its request.
struct Held {
    body: Body,
    _open: Open,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
