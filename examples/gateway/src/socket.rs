//! A client's connection, and how long it may take.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::OwnedSemaphorePermit,
    time::{Sleep, sleep},
};

use crate::{linger::Linger, requests::Requests, workers::Place};

/// From the first byte of a head to its last; for the first one from the connection's begin.
const LIMIT: Duration = Duration::from_secs(10);

/// A client's connection, which fails once a head takes too long, or the client takes nothing of what
/// it is sent.
pub(crate) struct Socket<S> {
    stream: S,
    requests: Requests,
    clock: Option<Clock>,
    sending: Sending,
    /// Once the last answer has been sent, if the client may still be sending.
    linger: Option<Linger>,
    _places: Places,
}

/// Held for as long as a connection is open, also as a WebSocket, which is no longer the server's: its
/// places among all connections, and among those of its worker.
pub(crate) type Places = (OwnedSemaphorePermit, Place);

/// Runs while a head arrives.
struct Clock {
    sleep: Pin<Box<Sleep>>,
    /// How many requests had been seen when it was started.
    seen: usize,
    /// Whether some of the head has come.
    has_begun: bool,
}

impl Clock {
    fn new(requests: &Requests, has_begun: bool) -> Self {
        Self {
            sleep: Box::pin(sleep(LIMIT)),
            seen: requests.seen(),
            has_begun,
        }
    }
}

/// How long bytes wait for a client that takes none.
struct Sending {
    limit: Duration,
    /// Runs from a write that finds no room to the next that does.
    clock: Option<Pin<Box<Sleep>>>,
}

impl Sending {
    /// What has become of a write; an error once there has been no room for too long.
    fn timed(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.clock = None;
            return written;
        }
        let limit = self.limit;
        let clock = self.clock.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(clock.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S> Socket<S> {
    pub(crate) fn new(stream: S, requests: Requests, places: Places) -> Self {
        Self {
            stream,
            clock: Some(Clock::new(&requests, false)),
            sending: Sending {
                limit: requests.send_timeout(),
                clock: None,
            },
            linger: None,
            requests,
            _places: places,
        }
    }

    /// Whether the client may be sending what nobody will read: the rest of a body, what comes behind
    /// a head that is none, or anything over HTTP/2.
    fn has_unread(&self) -> bool {
        let requests = &self.requests;
        let is_head = |clock: &Clock| clock.has_begun && clock.seen == requests.seen();
        !requests.is_handed_over()
            && (requests.has_unread()
                || requests.is_http2()
                || self.clock.as_ref().is_some_and(is_head))
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
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        let Some(clock) = &mut this.clock else {
            ready!(polled)?;
            if this.requests.awaits_head() {
                this.clock = Some(Clock::new(&this.requests, true));
            }
            return Poll::Ready(Ok(()));
        };
        clock.has_begun |= buf.filled().len() > before;
        // Bytes that drip do not put it off.
        if clock.sleep.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.sending.timed(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.sending.timed(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.linger = this.has_unread().then(Linger::new);
        }
        match &mut this.linger {
            Some(linger) => linger.poll(&mut this.stream, cx).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::{
        Router,
        body::Body,
        http::{Response, StatusCode, Version},
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        sync::Semaphore,
        time::{Instant, advance, timeout},
    };

    use super::*;
    use crate::workers::Worker;

    const SECOND: Duration = Duration::from_secs(1);
    const SEND: Duration = Duration::from_secs(60);

    fn pair() -> (DuplexStream, Socket<DuplexStream>, Requests) {
        let (client, server) = duplex(64);
        let requests = Requests::new(SEND);
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let places = (permit, Worker::here(Router::new()).place());
        let socket = Socket::new(server, requests.clone(), places);
        (client, socket, requests)
    }

    async fn read(socket: &mut Socket<DuplexStream>) -> io::Result<usize> {
        socket.read(&mut [0; 64]).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_byte_ends() {
        let (_client, mut socket, _) = pair();
        let begun = Instant::now();
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
        let begun = Instant::now();
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
        let waits = timeout(60 * SECOND, read(&mut socket)).await;
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

    /// Until then its socket would be reset, and with it the end of the answer.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_still_sends_is_heard_until_it_stops() {
        for (ends_it, pause, expected) in [
            (true, Duration::ZERO, Duration::ZERO),
            // It has seen the answer, and does not close.
            (false, 10 * SECOND, SECOND),
            // It would never stop.
            (false, SECOND / 2, 30 * SECOND),
        ] {
            let (mut client, mut socket, _) = pair();
            client.write_all(b"no head").await.unwrap();
            read(&mut socket).await.unwrap();
            socket.write_all(b"400").await.unwrap();
            let begun = Instant::now();
            let sends = async {
                client.write_all(&[0; 6 * 64]).await.unwrap();
                let mut answer = Vec::new();
                client.read_to_end(&mut answer).await.unwrap();
                assert_eq!(answer, b"400");
                if ends_it {
                    drop(client);
                    return std::future::pending::<()>().await;
                }
                loop {
                    sleep(pause).await;
                    client.write_all(b"more").await.unwrap();
                }
            };
            tokio::select! {
                closed = socket.shutdown() => closed.unwrap(),
                () = sends => unreachable!(),
            }
            assert_eq!(begun.elapsed(), expected);
        }
    }

    /// A client that has not read all of its answer says by and by how much it has.
    #[tokio::test(start_paused = true)]
    async fn over_http2_a_client_is_heard_until_it_closes() {
        let (mut client, mut socket, requests) = pair();
        let answer = async { Response::new(Body::empty()) };
        drop(requests.clone().count(Version::HTTP_2, answer).await);
        let begun = Instant::now();
        let reads = async {
            for _ in 0..20 {
                sleep(SECOND / 2).await;
                client.write_all(b"WINDOW_UPDATE").await.unwrap();
            }
            drop(client);
        };
        let both = async { tokio::join!(socket.shutdown(), reads) };
        let (closed, ()) = timeout(60 * SECOND, both).await.unwrap();
        closed.unwrap();
        assert_eq!(begun.elapsed(), 10 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_whole_is_closed_at_once() {
        let (mut client, mut socket, requests) = pair();
        let at_once = |socket| timeout(Duration::ZERO, socket);
        client.write_all(b"head").await.unwrap();
        read(&mut socket).await.unwrap();
        let answer = async { Response::new(Body::empty()) };
        drop(requests.clone().count(Version::HTTP_11, answer).await);
        at_once(socket.shutdown()).await.unwrap().unwrap();
        // Nothing has been asked yet.
        let (_client, mut socket, _) = pair();
        at_once(socket.shutdown()).await.unwrap().unwrap();
    }

    /// Its bytes are the session's, whose other half goes on.
    #[tokio::test(start_paused = true)]
    async fn nothing_is_taken_from_a_websocket() {
        let (mut client, mut socket, requests) = pair();
        let answer = async {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            answer
        };
        drop(requests.clone().count(Version::HTTP_11, answer).await);
        client.write_all(b"frame").await.unwrap();
        socket.shutdown().await.unwrap();
        assert_eq!(read(&mut socket).await.unwrap(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_waited_for_so_long() {
        let (_client, mut socket, _) = pair();
        socket.write_all(&[0; 64]).await.unwrap();
        let begun = Instant::now();
        let error = socket.write_all(b"more").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), SEND);
        let slices = [io::IoSlice::new(b"more")];
        assert!(socket.write_vectored(&slices).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_one_and_one_that_has_nothing_to_take_are_not_ended() {
        let (mut client, mut socket, _) = pair();
        let slow = async {
            for _ in 0..5 {
                advance(SEND - SECOND).await;
                client.read_exact(&mut [0; 64]).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(socket.write_all(&[0; 6 * 64]), slow);
        written.unwrap();
        client.read_exact(&mut [0; 64]).await.unwrap();
        advance(10 * SEND).await;
        socket.write_all(b"more").await.unwrap();
    }
}
