//! How long a client may take for the head of a request.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{Response, StatusCode, Version},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// From the first byte of a head to its last; for the first one from the connection's begin.
const LIMIT: Duration = Duration::from_secs(10);

/// A client's connection, which fails once a head takes too long.
pub(crate) struct Socket<S> {
    stream: S,
    requests: Requests,
    clock: Option<Clock>,
}

/// Runs while a head arrives.
struct Clock {
    sleep: Pin<Box<Sleep>>,
    /// How many requests had been seen when it was started.
    seen: usize,
}

/// The requests of a connection, as the service and its socket both know them.
#[derive(Clone, Default)]
pub(crate) struct Requests(Arc<Counts>);

#[derive(Default)]
struct Counts {
    open: AtomicUsize,
    seen: AtomicUsize,
    /// HTTP/2 mixes heads with all else, and after a 101 there are none.
    has_other_bytes: AtomicBool,
}

/// A request whose answer has not been sent.
struct Open(Requests);

impl Requests {
    /// A head is there; `answer` answers it.
    pub(crate) async fn count(
        self,
        version: Version,
        answer: impl Future<Output = Response<Body>>,
    ) -> Response<Body> {
        self.0.seen.fetch_add(1, Ordering::SeqCst);
        self.0.open.fetch_add(1, Ordering::SeqCst);
        if version == Version::HTTP_2 {
            self.has_other_bytes();
        }
        let open = Open(self);
        let answer = answer.await;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            open.0.has_other_bytes();
        }
        answer.map(|body| Body::new(Held { body, _open: open }))
    }

    fn has_other_bytes(&self) {
        self.0.has_other_bytes.store(true, Ordering::SeqCst);
    }

    /// Whether what arrives now is the begin of a head. Of HTTP/2 only the first has a limit.
    fn awaits_head(&self) -> bool {
        let is_idle = self.0.open.load(Ordering::SeqCst) == 0;
        is_idle && !self.0.has_other_bytes.load(Ordering::SeqCst)
    }

    fn start_clock(&self) -> Clock {
        Clock {
            sleep: Box::pin(sleep(LIMIT)),
            seen: self.seen(),
        }
    }

    /// Whether there has been one.
    pub(crate) fn any(&self) -> bool {
        self.seen() > 0
    }

    fn seen(&self) -> usize {
        self.0.seen.load(Ordering::SeqCst)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::SeqCst);
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
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

impl<S> Socket<S> {
    pub(crate) fn new(stream: S, requests: Requests) -> Self {
        Self {
            stream,
            clock: Some(requests.start_clock()),
            requests,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let seen = this.requests.seen();
        // A head that is whole has stopped it.
        this.clock = this.clock.take().filter(|clock| clock.seen == seen);
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        let Some(clock) = &mut this.clock else {
            ready!(polled)?;
            if this.requests.awaits_head() {
                this.clock = Some(this.requests.start_clock());
            }
            return Poll::Ready(Ok(()));
        };
        // Bytes that drip do not put it off.
        if clock.sleep.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::advance,
    };

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pair() -> (DuplexStream, Socket<DuplexStream>, Requests) {
        let (client, server) = duplex(64);
        let requests = Requests::default();
        (client, Socket::new(server, requests.clone()), requests)
    }

    async fn read(socket: &mut Socket<DuplexStream>) -> io::Result<usize> {
        socket.read(&mut [0; 64]).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_byte_ends() {
        let (_client, mut socket, _) = pair();
        let begun = tokio::time::Instant::now();
        let error = read(&mut socket).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_ends() {
        let (mut client, mut socket, _) = pair();
        for _ in 0..9 {
            client.write_all(b"x").await.unwrap();
            assert_eq!(read(&mut socket).await.unwrap(), 1);
            advance(SECOND).await;
        }
        client.write_all(b"x").await.unwrap();
        advance(2 * SECOND).await;
        assert!(read(&mut socket).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_and_an_idle_connection_may_take_longer_and_the_next_head_not() {
        let (mut client, mut socket, requests) = pair();
        client.write_all(b"head").await.unwrap();
        read(&mut socket).await.unwrap();
        let answer = requests.clone().count(Version::HTTP_11, async {
            for _ in 0..3 {
                advance(20 * SECOND).await;
                client.write_all(b"body").await.unwrap();
                read(&mut socket).await.unwrap();
            }
            Response::new(Body::from("answer"))
        });
        drop(answer.await);
        advance(60 * SECOND).await;
        client.write_all(b"he").await.unwrap();
        assert_eq!(read(&mut socket).await.unwrap(), 2);
        let begun = tokio::time::Instant::now();
        assert!(read(&mut socket).await.is_err());
        assert_eq!(begun.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn http2_may_be_idle() {
        let (mut client, mut socket, requests) = pair();
        let answer = async { Response::new(Body::empty()) };
        drop(requests.clone().count(Version::HTTP_2, answer).await);
        client.write_all(b"ping").await.unwrap();
        read(&mut socket).await.unwrap();
        let waits = tokio::time::timeout(60 * SECOND, read(&mut socket)).await;
        assert!(waits.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_websocket_may_talk_for_as_long_as_it_likes() {
        let (mut client, mut socket, requests) = pair();
        client.write_all(b"head").await.unwrap();
        read(&mut socket).await.unwrap();
        let answer = async {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            answer
        };
        drop(requests.clone().count(Version::HTTP_11, answer).await);
        for _ in 0..3 {
            client.write_all(b"frame").await.unwrap();
            assert_eq!(read(&mut socket).await.unwrap(), 5);
            advance(2 * LIMIT).await;
        }
    }
}
