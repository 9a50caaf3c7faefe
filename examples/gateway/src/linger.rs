//! How a connection ends whose client may still be sending.

use std::{
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// A client that has sent nothing for this long has seen the answer and stopped.
const QUIET: Duration = Duration::from_secs(1);

/// For how long, and how much, is read of one that goes on.
const LIMIT: Duration = Duration::from_secs(30);
const BYTES: usize = 64 << 20;

/// Reads what a client sends after its last answer, and throws it away.
///
/// A socket that is closed with unread data resets its connection, and the client may lose the end of
/// the answer with it (RFC 9112 section 9.6). So the writing half is closed first, and the other half
/// once the client has closed its own, or stopped. (Over HTTP/2 a client that still reads the end of
/// its answer sends `WINDOW_UPDATE`.)
pub(crate) struct Linger {
    quiet: Pin<Box<Sleep>>,
    ends: Instant,
    left: usize,
}

impl Linger {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            quiet: Box::pin(sleep_until(now + QUIET)),
            ends: now + LIMIT,
            left: BYTES,
        }
    }

    /// Ready once `stream` may be closed.
    pub(crate) fn poll<S>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<()>
    where
        S: AsyncRead + Unpin,
    {
        loop {
            let mut bytes = [MaybeUninit::uninit(); 16 << 10];
            let mut bytes = ReadBuf::uninit(&mut bytes);
            match Pin::new(&mut *stream).poll_read(cx, &mut bytes) {
                Poll::Pending => return self.quiet.as_mut().poll(cx),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) if bytes.filled().is_empty() => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            let now = Instant::now();
            match self.left.checked_sub(bytes.filled().len()) {
                Some(left) if now < self.ends => self.left = left,
                _ => return Poll::Ready(()),
            }
            self.quiet.as_mut().reset(self.ends.min(now + QUIET));
        }
    }
}
