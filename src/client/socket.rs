//! A connection below hyper, which remembers what has happened to it and lets an early answer
//! through.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection with an engine.
///
/// An engine may refuse an upload and close at once (RFC 9112 section 9.6). Its answer has then
/// arrived, and stays readable on most systems, but hyper gives up at the first failed write. So
/// that failure is kept from it until it has read all that there is: the answer, or an end without
/// one. Until then a write takes forever, so that hyper does not take the connection for idle;
/// HTTP/2 may have to write before it reads on, so there it seems to succeed.
#[derive(Debug)]
pub(super) struct Socket<S> {
    stream: S,
    history: History,
    engine: Engine,
    /// Who waits to write, after the engine has hung up.
    writer: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Listens,
    /// A write has failed, and there may still be something to read.
    HungUp,
    /// Nothing more comes.
    Gone,
}

/// What is known about a connection when it fails.
#[derive(Clone, Debug)]
pub(super) struct History(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    established: Instant,
    is_http2: bool,
    /// Something was read after the last write: over HTTP/1.1, a part of the answer.
    was_read: AtomicBool,
}

impl History {
    /// Whether the connection is older than a request that began at `start`.
    pub(super) fn is_older_than(&self, start: Instant) -> bool {
        self.0.established < start
    }

    /// Whether a part of the answer has arrived. Never known over HTTP/2, where requests share the
    /// connection.
    pub(super) fn answer_has_begun(&self) -> bool {
        !self.0.is_http2 && self.0.was_read.load(Ordering::Relaxed)
    }

    fn writes(&self) {
        self.0.was_read.store(false, Ordering::Relaxed);
    }
}

impl<S: Connection> Socket<S> {
    pub(super) fn new(stream: S, is_http2: bool) -> Self {
        let is_http2 = is_http2 || stream.connected().is_negotiated_h2();
        Self {
            stream,
            history: History(Arc::new(Facts {
                established: Instant::now(),
                is_http2,
                was_read: AtomicBool::new(false),
            })),
            engine: Engine::Listens,
            writer: None,
        }
    }
}

impl<S> Socket<S> {
    /// A write of `all`, or another thing to do with the stream that writes.
    fn write<T>(
        &mut self,
        cx: &mut Context<'_>,
        all: T,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>>
    where
        S: Unpin,
    {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        if self.engine == Engine::Listens {
            match ready!(write(Pin::new(&mut self.stream), cx)) {
                Err(error)
                    if matches!(
                        error.kind(),
                        BrokenPipe | ConnectionAborted | ConnectionReset
                    ) =>
                {
                    self.engine = Engine::HungUp;
                }
                result => return Poll::Ready(result),
            }
        }
        if self.engine == Engine::Gone {
            return Poll::Ready(Err(BrokenPipe.into()));
        }
        if self.history.0.is_http2 {
            return Poll::Ready(Ok(all));
        }
        self.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<S: Connection> Connection for Socket<S> {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.history.clone())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut this.stream).poll_read(cx, buf));
        if buf.filled().len() > before {
            this.history.0.was_read.store(true, Ordering::Relaxed);
        } else if this.engine == Engine::HungUp {
            this.engine = Engine::Gone;
            if let Some(writer) = this.writer.take() {
                writer.wake();
            }
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.history.writes();
        this.write(cx, buf.len(), |stream, cx| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.history.writes();
        let all = bufs.iter().map(|buf| buf.len()).sum();
        this.write(cx, all, |stream, cx| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.write(cx, (), |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.engine {
            Engine::Listens => Pin::new(&mut self.get_mut().stream).poll_shutdown(cx),
            Engine::HungUp | Engine::Gone => Poll::Ready(Ok(())),
        }
    }
}
