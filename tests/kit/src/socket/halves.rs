//! The two halves of a peer's connection.

use std::convert::Infallible;

use tokio::{
    io::AsyncWriteExt,
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
};

use super::{
    message::{Framing, Kind, Message},
    parser::Parser,
};
use crate::time::{A_WHILE, within};

#[derive(Debug)]
pub struct Writer(OwnedWriteHalf);

#[derive(Debug)]
pub struct Reader(Parser<OwnedReadHalf>);

impl Writer {
    pub(super) fn new(socket: OwnedWriteHalf) -> Self {
        Self(socket)
    }

    /// Writes all of it; that the other end no longer listens is not a failure of this one.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        _ = within(self.0.write_all(bytes.as_ref())).await;
    }

    /// Writes until nothing can be written for a while; how much it was.
    pub async fn send_until_stuck(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() {
            let more = self.0.write(&bytes[written..]);
            match tokio::time::timeout(A_WHILE, more).await {
                Ok(more) => written += more.unwrap(),
                Err(_) => break,
            }
        }
        written
    }

    /// The same without a limit, and then for ever nothing.
    pub(super) async fn send_and_wait(&mut self, bytes: &[u8]) -> Infallible {
        _ = self.0.write_all(bytes).await;
        std::future::pending().await
    }

    /// Says that nothing more comes.
    pub async fn shut_down(&mut self) {
        _ = within(self.0.shutdown()).await;
    }
}

impl Reader {
    pub(super) fn new(socket: OwnedReadHalf) -> Self {
        Self(Parser::new(socket))
    }

    /// The head of a message that has a body.
    pub async fn message(&mut self) -> Message {
        let kind = |start: &str| match start.starts_with("HTTP/") {
            true => Kind::Answer,
            false => Kind::Request,
        };
        let message = well_formed(within(self.0.head(kind)).await);
        let message = message.expect("it broke off before a head");
        let framing = message.framing;
        assert!(
            matches!(framing, Framing::Length(_) | Framing::Chunked),
            "{framing:?}"
        );
        message
    }

    /// Reads on in the body of the message that was begun last.
    pub async fn read(&mut self, message: &mut Message, bytes: usize) {
        let reading = self
            .0
            .read_while(message, |message| message.body.len() < bytes);
        well_formed(within(reading).await);
        let read = message.body.len();
        assert!(read >= bytes, "it broke off after {read} bytes");
    }

    /// Reads the message to its end, or to that of the connection.
    pub async fn read_to_end(&mut self, message: &mut Message) {
        well_formed(within(self.0.read_while(message, |_| true)).await);
    }

    /// Reads exactly this.
    pub async fn expect(&mut self, text: &str) {
        let read = within(self.0.bytes(text.len())).await;
        assert_eq!(&read[..], text.as_bytes());
    }

    /// What comes up to `end`, not parsed.
    pub(super) async fn raw_until(&mut self, end: &str) -> String {
        let raw = within(self.0.raw(end.as_bytes())).await;
        raw.unwrap_or_else(|| panic!("{end:?} did not come"))
    }

    /// Whether the other end has closed the connection, without another byte.
    pub async fn is_at_end(&mut self) -> bool {
        within(self.0.is_at_end()).await
    }

    /// The next message with all of its body; `None` where the connection has ended instead.
    pub(super) async fn whole(&mut self, kind: Kind) -> Option<Message> {
        well_formed(within(self.0.message(kind)).await)
    }
}

#[track_caller]
fn well_formed<T>(read: Result<T, String>) -> T {
    read.unwrap_or_else(|malformed| panic!("it got {malformed}"))
}
