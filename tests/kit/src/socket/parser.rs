//! A parser of HTTP/1.1 that forgives nothing, and reads no further than it is told.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{
    head::{fields_of, framing},
    message::{Framing, Kind, Message, latin1},
};

/// Takes messages from a socket, one after the other. An error says what is malformed.
#[derive(Debug)]
pub struct Parser<R> {
    socket: R,
    buffer: BytesMut,
    next: Next,
}

/// What comes next in a chunked body.
#[derive(Clone, Copy, Debug)]
enum Next {
    Size,
    Data(usize),
    LineEnd,
    Trailers,
}

impl<R: AsyncRead + Unpin> Parser<R> {
    pub fn new(socket: R) -> Self {
        Self {
            socket,
            buffer: BytesMut::new(),
            next: Next::Size,
        }
    }

    /// The next message with all of its body, or what comes of it; `None` at a clean end.
    pub async fn message(&mut self, kind: Kind) -> Result<Option<Message>, String> {
        let Some(mut message) = self.head(|_| kind).await? else {
            return Ok(None);
        };
        self.read_while(&mut message, |_| true).await?;
        Ok(Some(message))
    }

    /// The head of the next message, whose body is still to be read. What kind of message it is
    /// may depend on its first line.
    pub async fn head(
        &mut self,
        kind: impl FnOnce(&str) -> Kind,
    ) -> Result<Option<Message>, String> {
        let Some(head) = self.until(b"\r\n\r\n").await else {
            return match &*self.buffer {
                [] => Ok(None),
                rest => Err(format!("it ends within a head: {:?}", latin1(rest))),
            };
        };
        let (start, fields) = match head.split_once("\r\n") {
            Some((start, fields)) => (start.to_owned(), fields_of(fields)?),
            None => (head, Vec::new()),
        };
        let framing = framing(&start, &fields, kind(&start))?;
        self.next = Next::Size;
        Ok(Some(Message {
            complete: framing == Framing::None,
            framing,
            start,
            fields,
            body: Vec::new(),
            trailers: Vec::new(),
        }))
    }

    /// Reads on in the body of the message whose head was read last, until it ends, it breaks
    /// off, or `goes_on` says no.
    pub async fn read_while(
        &mut self,
        message: &mut Message,
        goes_on: impl Fn(&Message) -> bool,
    ) -> Result<(), String> {
        while !message.complete {
            while self.take(message)? {}
            if message.complete || !goes_on(message) {
                break;
            }
            if !self.more().await {
                message.complete = message.framing == Framing::Close;
                break;
            }
        }
        Ok(())
    }

    /// What comes before `end`, not parsed; for looking into a body on its way.
    pub async fn raw(&mut self, end: &[u8]) -> Option<String> {
        self.until(end).await
    }

    /// The next `length` bytes, or all that there are.
    pub async fn bytes(&mut self, length: usize) -> BytesMut {
        while self.buffer.len() < length && self.more().await {}
        self.buffer.split_to(length.min(self.buffer.len()))
    }

    /// Whether the other end has closed the connection, without another byte.
    pub async fn is_at_end(&mut self) -> bool {
        self.buffer.is_empty() && !self.more().await
    }

    /// Takes what there is of the body; whether to go on at once.
    fn take(&mut self, message: &mut Message) -> Result<bool, String> {
        match message.framing {
            Framing::None => {}
            Framing::Close => {
                self.take_data(usize::MAX, message);
            }
            Framing::Length(length) => {
                let missing = length - message.body.len();
                message.complete = self.take_data(missing, message) == 0;
            }
            Framing::Chunked => return self.take_of_chunks(message),
        }
        Ok(false)
    }

    fn take_of_chunks(&mut self, message: &mut Message) -> Result<bool, String> {
        if let Next::Data(left) = self.next {
            self.next = match self.take_data(left, message) {
                0 => Next::LineEnd,
                left => Next::Data(left),
            };
            return Ok(!self.buffer.is_empty());
        }
        let Some(line) = self.taken_until(b"\r\n") else {
            return Ok(false);
        };
        self.next = match self.next {
            Next::Size => match usize::from_str_radix(&line, 16) {
                Ok(0) => Next::Trailers,
                Ok(size) => Next::Data(size),
                Err(_) => return Err(format!("chunk {line:?}")),
            },
            Next::Trailers if line.is_empty() => {
                message.complete = true;
                return Ok(false);
            }
            Next::Trailers => {
                message.trailers.extend(fields_of(&line)?);
                Next::Trailers
            }
            Next::LineEnd | Next::Data(_) if line.is_empty() => Next::Size,
            Next::LineEnd | Next::Data(_) => {
                return Err(format!("more than the chunk said: {line:?}"));
            }
        };
        Ok(true)
    }

    /// Takes up to `most` bytes into the body; how many are then missing.
    fn take_data(&mut self, most: usize, message: &mut Message) -> usize {
        let there = most.min(self.buffer.len());
        message.body.extend_from_slice(&self.buffer.split_to(there));
        most - there
    }

    /// What stands before `end`, which is taken as well.
    async fn until(&mut self, end: &[u8]) -> Option<String> {
        loop {
            if let Some(text) = self.taken_until(end) {
                return Some(text);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    fn taken_until(&mut self, end: &[u8]) -> Option<String> {
        let at = self.buffer.windows(end.len()).position(|at| at == end)?;
        let taken = self.buffer.split_to(at + end.len());
        Some(latin1(&taken[..at]))
    }

    /// A reset counts as an end: what was lost shows in the message.
    async fn more(&mut self) -> bool {
        self.buffer.reserve(64 << 10);
        matches!(self.socket.read_buf(&mut self.buffer).await, Ok(1..))
    }
}
