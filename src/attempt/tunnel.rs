//! A session after a 101: bytes both ways between the client and the engine.

use std::{
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::{
    rt::{Read, ReadBuf, Write},
    upgrade::{OnUpgrade, Upgraded},
};
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Sleep, sleep},
};

use super::{goodbye::Goodbye, held::Held};

/// How long the other side may go on after one has ended.
const LINGER: Duration = Duration::from_secs(5);

/// The WebSocket sessions of a layer, each in a task of its own.
///
/// A server's graceful shutdown does not wait for them, because their connections no
/// longer belong to the server. Wait for [`closed`](Self::closed) as well:
///
/// ```no_run
/// # use std::time::Duration;
/// # use tower_model_route::{ModelRouteLayer, RouteTable};
/// # async fn serve(table: RouteTable) {
/// let layer = ModelRouteLayer::new(table);
/// let tunnels = layer.tunnels();
/// // Serve with `layer` until the server has shut down, then:
/// _ = tokio::time::timeout(Duration::from_secs(30), tunnels.closed()).await;
/// # }
/// ```
#[derive(Clone)]
pub struct Tunnels {
    open: watch::Sender<usize>,
}

/// Counts a session as open until it is dropped.
struct Session(Tunnels);

impl Tunnels {
    pub(crate) fn new() -> Self {
        Self {
            open: watch::Sender::new(0),
        }
    }

    /// How many sessions are open now.
    pub fn count(&self) -> usize {
        *self.open.borrow()
    }

    /// Waits until no session is open.
    pub async fn closed(&self) {
        // The sender is here, so this can't fail.
        _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    /// Begins a session, which holds `held` to its end. Without a tokio runtime it fails.
    pub(crate) fn begin(&self, client: OnUpgrade, engine: OnUpgrade, held: Held) -> Option<()> {
        let runtime = Handle::try_current().ok()?;
        self.open.send_modify(|open| *open += 1);
        let session = Session(self.clone());
        runtime.spawn(async move {
            carry(client, engine, held).await;
            drop(session);
        });
        Some(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

impl fmt::Debug for Tunnels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnels")
            .field("count", &self.count())
            .finish()
    }
}

async fn carry(client: OnUpgrade, engine: OnUpgrade, mut held: Held) {
    // An error here: one of them is gone before it has begun.
    let Ok(engine) = engine.await else {
        return held.failed();
    };
    let Ok(client) = client.await else {
        return;
    };
    let mut both = Both {
        client,
        engine,
        upwards: Pump::new(),
        downwards: Pump::new(),
        linger: None,
    };
    match poll_fn(|cx| both.poll(cx, &mut held)).await {
        End::EngineFailed => held.failed(),
        End::Both => held.completed(),
        End::Other => {}
    }
}

enum End {
    EngineFailed,
    /// Both sides have ended, or one has said goodbye.
    Both,
    /// One side has ended alone or fallen silent, or the client has failed.
    Other,
}

struct Both {
    client: Upgraded,
    engine: Upgraded,
    upwards: Pump,
    downwards: Pump,
    /// Ends the session after one side has ended.
    linger: Option<Pin<Box<Sleep>>>,
}

impl Both {
    fn poll(&mut self, cx: &mut Context<'_>, held: &mut Held) -> Poll<End> {
        let before = (self.upwards.moved, self.downwards.moved);
        let up = self.upwards.poll(cx, &mut self.client, &mut self.engine);
        let down = self.downwards.poll(cx, &mut self.engine, &mut self.client);
        let is_over = self.upwards.goodbye.is_said() || self.downwards.goodbye.is_said();
        match (up, down) {
            // Who hangs up on one that still speaks resets the connection.
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) if is_over => {
                return Poll::Ready(End::Both);
            }
            (_, Poll::Ready(Err(Broken::Read))) => return Poll::Ready(End::EngineFailed),
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(End::Other),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(End::Both),
            (Poll::Pending, Poll::Pending) => {}
            _ => {
                let linger = self.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
                ready!(linger.as_mut().poll(cx));
                return Poll::Ready(End::Other);
            }
        }
        if (self.upwards.moved, self.downwards.moved) != before {
            held.broken_silence();
        }
        held.poll_silence(cx).map(|()| End::Other)
    }
}

/// One direction.
struct Pump {
    buffer: Box<[u8]>,
    /// The unwritten part of the buffer.
    start: usize,
    end: usize,
    /// How many bytes were written.
    moved: u64,
    flushed: bool,
    state: State,
    goodbye: Goodbye,
}

#[derive(PartialEq)]
enum State {
    Open,
    /// Everything has been read.
    Ending,
    Ended,
}

enum Broken {
    Read,
    Write,
}

impl Pump {
    fn new() -> Self {
        Self {
            buffer: vec![0; 8 << 10].into(),
            start: 0,
            end: 0,
            moved: 0,
            flushed: true,
            state: State::Open,
            goodbye: Goodbye::default(),
        }
    }

    /// Ready once `from` has ended and `to` knows.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Upgraded,
        to: &mut Upgraded,
    ) -> Poll<Result<(), Broken>> {
        while self.state != State::Ended {
            let unwritten = self.buffer.get(self.start..self.end).unwrap_or_default();
            if !unwritten.is_empty() {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, unwritten));
                match written {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return Poll::Ready(Err(Broken::Write)),
                }
                let written = written.unwrap_or_default();
                self.start += written;
                self.moved += written as u64;
                self.flushed = false;
            } else if self.state == State::Ending {
                if ready!(Pin::new(&mut *to).poll_shutdown(cx)).is_err() {
                    return Poll::Ready(Err(Broken::Write));
                }
                self.state = State::Ended;
            } else {
                match self.poll_read(cx, from) {
                    Poll::Ready(Ok(0)) => self.state = State::Ending,
                    Poll::Ready(Ok(read)) => (self.start, self.end) = (0, read),
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Read)),
                    Poll::Pending => {
                        if !self.flushed {
                            if ready!(Pin::new(&mut *to).poll_flush(cx)).is_err() {
                                return Poll::Ready(Err(Broken::Write));
                            }
                            self.flushed = true;
                        }
                        return Poll::Pending;
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, from: &mut Upgraded) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(from).poll_read(cx, buffer.unfilled()))?;
        self.goodbye.hear(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }
}
