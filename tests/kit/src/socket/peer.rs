//! One end of a connection, which writes what it is given, and reads strictly and no further than
//! it is told. What is malformed, or hangs, is a panic.

use std::net::SocketAddr;

use tokio::{
    io::AsyncWriteExt,
    net::{
        TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::{
    message::{Framing, Kind, Message},
    parser::Parser,
};
use crate::time::{A_WHILE, within};

/// Small enough that some megabytes fill all buffers of a connection, and large enough for
/// loopback's segments of 64 KiB.
pub(super) const SOCKET_BUFFER: u32 = 256 << 10;

/// The client or the engine.
#[derive(Debug)]
pub struct Peer {
    pub reader: Reader,
    pub writer: Writer,
}

#[derive(Debug)]
pub struct Writer(OwnedWriteHalf);

#[derive(Debug)]
pub struct Reader(Parser<OwnedReadHalf>);

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
            reader: Reader(Parser::new(reader)),
            writer: Writer(writer),
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
        let send = async {
            _ = writer.0.write_all(bytes.as_ref()).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            answer = reader.whole(Kind::Answer) => answer.expect("an answer"),
            () = send => unreachable!("it waits for the answer"),
        }
    }

    /// What comes up to `end`, not parsed.
    pub async fn raw_until(&mut self, end: &str) -> String {
        let raw = within(self.reader.0.raw(end.as_bytes())).await;
        raw.unwrap_or_else(|| panic!("{end:?} did not come"))
    }
}

impl Writer {
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

    /// Says that nothing more comes.
    pub async fn shut_down(&mut self) {
        _ = within(self.0.shutdown()).await;
    }
}

impl Reader {
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

    /// Whether the other end has closed the connection, without another byte.
    pub async fn is_at_end(&mut self) -> bool {
        within(self.0.is_at_end()).await
    }

    async fn whole(&mut self, kind: Kind) -> Option<Message> {
        well_formed(within(self.0.message(kind)).await)
    }
}

#[track_caller]
fn well_formed<T>(read: Result<T, String>) -> T {
    read.unwrap_or_else(|malformed| panic!("it got {malformed}"))
}
