//! One end of a connection, which reads no further than it is told.

use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::within;

/// Small enough that some megabytes fill all buffers of a connection, and large enough for
/// loopback's segments of 64 KiB.
pub(crate) const SOCKET_BUFFER: u32 = 256 << 10;

/// The client or the engine.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
}

#[derive(Debug)]
pub(crate) struct Writer(OwnedWriteHalf);

#[derive(Debug)]
pub(crate) struct Reader {
    socket: OwnedReadHalf,
    buffer: BytesMut,
}

impl Peer {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(SOCKET_BUFFER).unwrap();
        socket.set_send_buffer_size(SOCKET_BUFFER).unwrap();
        Self::new(within(socket.connect(address)).await.unwrap())
    }

    pub(crate) fn new(socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        let (socket, writer) = socket.into_split();
        Self {
            reader: Reader {
                socket,
                buffer: BytesMut::new(),
            },
            writer: Writer(writer),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.writer.send(bytes).await;
    }

    /// The head of the next message; its body is read by it.
    pub(crate) async fn message(&mut self) -> Message {
        self.reader.message().await
    }

    /// Reads on in `message`'s body until there are `bytes` of it.
    pub(crate) async fn read(&mut self, message: &mut Message, bytes: usize) {
        self.reader.read(message, bytes).await;
    }

    /// The next message with all of its body, or what comes of it.
    pub(crate) async fn whole_message(&mut self) -> Message {
        let mut message = self.message().await;
        self.reader.read_to_end(&mut message).await;
        message
    }

    /// Says 200 with a body of `{}`.
    pub(crate) async fn answer(&mut self) {
        self.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            .await;
    }
}

impl Writer {
    /// Writes all of it; that the other end no longer listens is not a failure of this one.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        _ = within(self.0.write_all(bytes.as_ref())).await;
    }

    /// Writes until nothing can be written for a while; how much it was.
    pub(crate) async fn send_until_stuck(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() {
            let more = self.0.write(&bytes[written..]);
            match tokio::time::timeout(crate::A_WHILE, more).await {
                Ok(more) => written += more.unwrap(),
                Err(_) => break,
            }
        }
        written
    }

    /// Says that nothing more comes.
    pub(crate) async fn shut_down(&mut self) {
        _ = within(self.0.shutdown()).await;
    }
}

/// How a body's end is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
}

/// A message as far as it has been read.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// The request line or the status line.
    pub(crate) start: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) framing: Framing,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<String>,
    /// Whether the body has come to the end that its framing gives it.
    pub(crate) complete: bool,
    within_chunk: Chunk,
}

/// What comes next in a chunked body.
#[derive(Clone, Copy, Debug)]
enum Chunk {
    Size,
    Data(usize),
    LineEnd,
    Trailers,
}

impl Message {
    pub(crate) fn status(&self) -> u16 {
        let status = self.start.split(' ').nth(1).unwrap();
        status.parse().unwrap()
    }

    /// The `code` of a JSON error.
    pub(crate) fn code(&self) -> String {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        json["error"]["code"].as_str().unwrap().to_owned()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let named = |(found, _): &&(String, String)| found.eq_ignore_ascii_case(name);
        self.fields.iter().find(named).map(|(_, value)| &**value)
    }

    /// Takes what there is; `false` if something is missing to go on.
    fn take(&mut self, buffer: &mut BytesMut) -> bool {
        match (self.framing, self.within_chunk) {
            (Framing::Length(length), _) => {
                self.complete = self.take_data(length - self.body.len(), buffer) == 0;
                return false;
            }
            (Framing::Chunked, Chunk::Data(left)) => {
                self.within_chunk = match self.take_data(left, buffer) {
                    0 => Chunk::LineEnd,
                    left => Chunk::Data(left),
                };
                return !buffer.is_empty();
            }
            (Framing::Chunked, _) => {}
        }
        let Some(line) = line(buffer) else {
            return false;
        };
        self.within_chunk = match self.within_chunk {
            Chunk::Size => match usize::from_str_radix(&line, 16).unwrap() {
                0 => Chunk::Trailers,
                size => Chunk::Data(size),
            },
            Chunk::Trailers if line.is_empty() => {
                self.complete = true;
                return false;
            }
            Chunk::Trailers => {
                self.trailers.push(line);
                Chunk::Trailers
            }
            Chunk::LineEnd | Chunk::Data(_) => {
                assert_eq!(line, "", "more than the chunk's size said");
                Chunk::Size
            }
        };
        true
    }

    /// Takes up to `most` bytes into the body; how many are then missing.
    fn take_data(&mut self, most: usize, buffer: &mut BytesMut) -> usize {
        let there = most.min(buffer.len());
        self.body.extend_from_slice(&buffer.split_to(there));
        most - there
    }
}

impl Reader {
    pub(crate) async fn message(&mut self) -> Message {
        let start = self.line().await;
        let mut fields = Vec::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(": ") else {
                assert_eq!(line, "", "not a field");
                break;
            };
            fields.push((name.to_owned(), value.to_owned()));
        }
        let mut message = Message {
            start,
            fields,
            framing: Framing::Chunked,
            body: Vec::new(),
            trailers: Vec::new(),
            complete: false,
            within_chunk: Chunk::Size,
        };
        let length = message.field("content-length");
        match (length, message.field("transfer-encoding")) {
            (Some(length), None) => message.framing = Framing::Length(length.parse().unwrap()),
            (None, Some("chunked")) => {}
            (length, coding) => panic!("Content-Length {length:?}, Transfer-Encoding {coding:?}"),
        }
        message
    }

    pub(crate) async fn read(&mut self, message: &mut Message, bytes: usize) {
        self.read_while(message, |message| message.body.len() < bytes)
            .await;
        let read = message.body.len();
        assert!(read >= bytes, "it broke off after {read} bytes");
    }

    /// Reads the message to its end, or to that of the connection.
    pub(crate) async fn read_to_end(&mut self, message: &mut Message) {
        self.read_while(message, |_| true).await;
    }

    async fn read_while(&mut self, message: &mut Message, goes_on: impl Fn(&Message) -> bool) {
        loop {
            while message.take(&mut self.buffer) {}
            if message.complete || !goes_on(message) || !self.more().await {
                return;
            }
        }
    }

    /// Reads exactly this.
    pub(crate) async fn expect(&mut self, text: &str) {
        while self.buffer.len() < text.len() && self.more().await {}
        let there = text.len().min(self.buffer.len());
        assert_eq!(&self.buffer.split_to(there)[..], text.as_bytes());
    }

    /// Whether the other end has closed the connection, without another byte.
    pub(crate) async fn is_at_end(&mut self) -> bool {
        self.buffer.is_empty() && !self.more().await
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(line) = line(&mut self.buffer) {
                return line;
            }
            assert!(self.more().await, "it broke off within a head");
        }
    }

    /// A reset counts as an end: what was lost shows in the message.
    async fn more(&mut self) -> bool {
        self.buffer.reserve(64 << 10);
        matches!(
            within(self.socket.read_buf(&mut self.buffer)).await,
            Ok(1..)
        )
    }
}

fn line(buffer: &mut BytesMut) -> Option<String> {
    let end = buffer.windows(2).position(|at| at == b"\r\n")?;
    let line = buffer.split_to(end);
    buffer.advance(2);
    Some(String::from_utf8(line.to_vec()).unwrap())
}

/// The head of a chat request of `length` bytes.
pub(crate) fn head_with_length(length: usize) -> Vec<u8> {
    head(&format!("Content-Length: {length}\r\n"))
}

/// The head of a chat request in chunks.
pub(crate) fn chunked_head() -> Vec<u8> {
    head("Transfer-Encoding: chunked\r\n")
}

/// The head of a chat request with these fields, each with its line end.
pub(crate) fn head(fields: &str) -> Vec<u8> {
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nHost: gateway.test\r\n{fields}\r\n");
    head.into_bytes()
}

/// `data` as one chunk.
pub(crate) fn chunk(data: impl AsRef<[u8]>) -> Vec<u8> {
    let data = data.as_ref();
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

/// The end of chunks without trailers.
pub(crate) const LAST_CHUNK: &str = "0\r\n\r\n";
