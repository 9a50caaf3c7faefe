//! A connection below hyper: it remembers what has happened to it, and lets an early answer in.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection with an engine.
///
/// An engine may refuse an upload and close at once (RFC 9112 section 9.6). Its answer has then
/// arrived, and stays readable on most systems, but hyper gives up at the first failed write. So
/// when the engine has hung up, what is still to be written is dropped, and hyper reads on: the
/// answer, or an end without one.
#[derive(Debug)]
pub(super) struct Socket<S> {
    stream: S,
    history: History,
    /// The engine has hung up: nobody reads what is written.
    is_deaf: bool,
}

/// What is known of a connection when it fails.
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
            is_deaf: false,
        }
    }
}

impl<S> Socket<S> {
    /// What hyper is told of a write, or of a flush, that came to `result`.
    fn heard<T>(&mut self, result: io::Result<T>, all: T) -> io::Result<T> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        match result {
            Err(error)
                if matches!(
                    error.kind(),
                    BrokenPipe | ConnectionAborted | ConnectionReset
                ) =>
            {
                self.is_deaf = true;
                Ok(all)
            }
            result => result,
        }
    }

    fn writes(&self) {
        self.history.0.was_read.store(false, Ordering::Relaxed);
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
        if this.is_deaf {
            return Poll::Ready(Ok(buf.len()));
        }
        this.writes();
        let result = ready!(Pin::new(&mut this.stream).poll_write(cx, buf));
        Poll::Ready(this.heard(result, buf.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let all = bufs.iter().map(|buf| buf.len()).sum();
        if this.is_deaf {
            return Poll::Ready(Ok(all));
        }
        this.writes();
        let result = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, bufs));
        Poll::Ready(this.heard(result, all))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_deaf {
            return Poll::Ready(Ok(()));
        }
        let result = ready!(Pin::new(&mut this.stream).poll_flush(cx));
        Poll::Ready(this.heard(result, ()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_deaf {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}
