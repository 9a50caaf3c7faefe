//! One end of a connection, which writes what it is given, and reads strictly and no further than
//! it is told. What is malformed, or hangs, is a panic.

use std::net::SocketAddr;

use tokio::net::{TcpSocket, TcpStream};

use super::{
    halves::{Reader, Writer},
    message::{Kind, Message},
};
use crate::time::within;

/// Small enough that some megabytes fill all buffers of a connection, and large enough for
/// loopback's segments of 64 KiB.
pub(super) const SOCKET_BUFFER: u32 = 256 << 10;

/// The client or the engine.
#[derive(Debug)]
pub struct Peer {
    pub reader: Reader,
    pub writer: Writer,
}

impl Peer {
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(SOCKET_BUFFER).unwrap();
        socket.set_send_buffer_size(SOCKET_BUFFER).unwrap();
        Self::new(within(socket.connect(address)).await.unwrap())
    }

    pub fn new(socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        let (reader, writer) = socket.into_split();
        Self {
            reader: Reader::new(reader),
            writer: Writer::new(writer),
        }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.writer.send(bytes).await;
    }

    /// Says that nothing more comes.
    pub async fn shut_down(&mut self) {
        self.writer.shut_down().await;
    }

    /// Says 200 with a body of `{}`.
    pub async fn reply(&mut self) {
        self.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            .await;
    }

    /// The head of the next message; its body is read by it.
    pub async fn message(&mut self) -> Message {
        self.reader.message().await
    }

    /// Reads on in `message`'s body until there are `bytes` of it.
    pub async fn read(&mut self, message: &mut Message, bytes: usize) {
        self.reader.read(message, bytes).await;
    }

    /// The next message with all of its body, or what comes of it.
    pub async fn whole_message(&mut self) -> Message {
        let mut message = self.message().await;
        self.reader.read_to_end(&mut message).await;
        message
    }

    /// The next answer, interim ones (1xx) included.
    pub async fn answer(&mut self) -> Message {
        self.reader.whole(Kind::Answer).await.expect("an answer")
    }

    pub async fn answer_to_head(&mut self) -> Message {
        let answer = self.reader.whole(Kind::AnswerToHead).await;
        answer.expect("an answer")
    }

    /// The next answer, or `None` where the gateway has closed the connection instead.
    pub async fn answer_or_end(&mut self) -> Option<Message> {
        self.reader.whole(Kind::Answer).await
    }

    /// The answer, which may come before all of `bytes` could be written.
    pub async fn answer_while_sending(&mut self, bytes: impl AsRef<[u8]>) -> Message {
        let Self { reader, writer } = self;
        tokio::select! {
            answer = reader.whole(Kind::Answer) => answer.expect("an answer"),
            never = writer.send_and_wait(bytes.as_ref()) => match never {},
        }
    }

    /// What comes up to `end`, not parsed.
    pub async fn raw_until(&mut self, end: &str) -> String {
        self.reader.raw_until(end).await
    }
}
