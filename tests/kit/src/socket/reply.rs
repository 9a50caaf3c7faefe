//! The steps of an engine once it has read a request.

use std::{sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt, net::tcp::OwnedWriteHalf, sync::Notify};

/// Steps, one after the other; then the engine reads the next request.
#[derive(Clone, Debug)]
pub struct Reply(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<u8>),
    Wait(Arc<Notify>),
    Pause(Duration),
    Hang,
    Close,
}

impl Reply {
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self(Vec::new()).then(bytes)
    }

    /// 200 with this body and its length.
    pub fn ok(body: &str) -> Self {
        let length = body.len();
        Self::new(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }

    /// The connection ends without an answer.
    pub fn close() -> Self {
        Self(vec![Step::Close])
    }

    /// The connection stays, and nothing comes.
    pub fn hang() -> Self {
        Self(vec![Step::Hang])
    }

    pub fn pause(by: Duration) -> Self {
        Self(vec![Step::Pause(by)])
    }

    pub fn then(self, bytes: impl AsRef<[u8]>) -> Self {
        self.and(Step::Write(bytes.as_ref().to_vec()))
    }

    pub fn then_wait(self, for_it: &Arc<Notify>) -> Self {
        self.and(Step::Wait(Arc::clone(for_it)))
    }

    pub fn then_pause(self, by: Duration) -> Self {
        self.and(Step::Pause(by))
    }

    pub fn then_hang(self) -> Self {
        self.and(Step::Hang)
    }

    pub fn then_close(self) -> Self {
        self.and(Step::Close)
    }

    fn and(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    /// Whether the connection goes on.
    pub(super) async fn perform(self, socket: &mut OwnedWriteHalf) -> bool {
        for step in self.0 {
            match step {
                // A gateway that has gone away is what some tests are about.
                Step::Write(bytes) => _ = socket.write_all(&bytes).await,
                Step::Wait(for_it) => for_it.notified().await,
                Step::Pause(by) => tokio::time::sleep(by).await,
                Step::Hang => std::future::pending().await,
                Step::Close => return false,
            }
        }
        true
    }
}
