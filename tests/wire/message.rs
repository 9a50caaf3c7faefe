//! A reader of HTTP/1.1 messages that forgives nothing.

use std::mem::take;

use tokio::io::{AsyncRead, AsyncReadExt};

/// A message as it stood on the wire. Text is Latin-1: one character for each byte.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// The request line or the status line.
    pub(crate) start: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) framing: Framing,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// Whether the body came to the end that its framing gives it.
    pub(crate) complete: bool,
}

/// What says where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no body.
    None,
    Length(usize),
    Chunked,
    Close,
}

/// What is read: how a body ends depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Answer,
    AnswerToHead,
}

impl Message {
    pub(crate) fn status(&self) -> u16 {
        let code = self.start.split(' ').nth(1).expect("a status line");
        code.parse().expect("a status")
    }

    /// The values of the fields of this name, in their order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.fields
            .iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
            .collect()
    }

    /// The fields but those of these names, by name; fields of one name keep their order.
    pub(crate) fn fields_but(&self, names: &[&str]) -> Vec<String> {
        let mut fields: Vec<_> = self
            .fields
            .iter()
            .filter(|(name, _)| !names.iter().any(|but| name.eq_ignore_ascii_case(but)))
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        fields
            .into_iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect()
    }

    pub(crate) fn text(&self) -> String {
        latin1(&self.body)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }
}

pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// Takes messages from a socket, one after the other.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    socket: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(socket: R) -> Self {
        Self {
            socket,
            buffer: Vec::new(),
        }
    }

    /// The next message, `None` at a clean end; an error says what is malformed.
    pub(crate) async fn message(&mut self, kind: Kind) -> Result<Option<Message>, String> {
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
        let mut message = Message {
            framing: framing(&start, &fields, kind)?,
            start,
            fields,
            body: Vec::new(),
            trailers: Vec::new(),
            complete: true,
        };
        match message.framing {
            Framing::None => {}
            Framing::Length(length) => message.complete = self.part(length, &mut message).await,
            Framing::Chunked => message.complete = self.chunks(&mut message).await?,
            Framing::Close => {
                while self.more().await {}
                message.body = take(&mut self.buffer);
            }
        }
        Ok(Some(message))
    }

    /// What comes before `end`, not parsed; for looking into a body on its way.
    pub(crate) async fn raw(&mut self, end: &[u8]) -> Option<String> {
        self.until(end).await
    }

    async fn chunks(&mut self, message: &mut Message) -> Result<bool, String> {
        loop {
            let Some(line) = self.until(b"\r\n").await else {
                return Ok(false);
            };
            let size = usize::from_str_radix(&line, 16).map_err(|_| format!("chunk {line:?}"))?;
            if size == 0 {
                break;
            }
            if !self.part(size, message).await {
                return Ok(false);
            }
            match self.until(b"\r\n").await.as_deref() {
                Some("") => {}
                None => return Ok(false),
                Some(more) => return Err(format!("more than the chunk said: {more:?}")),
            }
        }
        let mut lines = String::new();
        loop {
            match self.until(b"\r\n").await.as_deref() {
                None => return Ok(false),
                Some("") => break,
                Some(line) => lines = [&*lines, line, "\r\n"].concat(),
            }
        }
        message.trailers = fields_of(lines.trim_end_matches("\r\n"))?;
        Ok(true)
    }

    /// Adds `length` bytes to the body, or what there is.
    async fn part(&mut self, length: usize, message: &mut Message) -> bool {
        while self.buffer.len() < length && self.more().await {}
        let there = length.min(self.buffer.len());
        message.body.extend(self.buffer.drain(..there));
        there == length
    }

    /// What stands before `end`, which is taken as well.
    async fn until(&mut self, end: &[u8]) -> Option<String> {
        loop {
            let found = self.buffer.windows(end.len()).position(|at| at == end);
            if let Some(at) = found {
                let text = latin1(&self.buffer[..at]);
                self.buffer.drain(..at + end.len());
                return Some(text);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// A reset counts as an end: what was lost shows in the message.
    async fn more(&mut self) -> bool {
        self.buffer.reserve(64 << 10);
        matches!(self.socket.read_buf(&mut self.buffer).await, Ok(1..))
    }
}

fn fields_of(lines: &str) -> Result<Vec<(String, String)>, String> {
    let lines = lines.split("\r\n").filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let is_name = |name: &str| !name.is_empty() && !name.contains([' ', '\t', '\n']);
            match line.split_once(':') {
                Some((name, value)) if is_name(name) && !value.contains(['\r', '\n', '\0']) => {
                    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
                }
                _ => Err(format!("not a field: {line:?}")),
            }
        })
        .collect()
}

/// By RFC 9112 section 6.3, but what it calls a possible attack is an error.
fn framing(start: &str, fields: &[(String, String)], kind: Kind) -> Result<Framing, String> {
    let all = |wanted: &str| -> Vec<&str> {
        let fields = fields.iter();
        let named = fields.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.map(|(_, value)| &**value).collect()
    };
    let status = start.split(' ').nth(1).unwrap_or_default();
    let bodiless = kind == Kind::AnswerToHead
        || kind == Kind::Answer && (status.starts_with('1') || status == "204" || status == "304");
    match (&*all("content-length"), &*all("transfer-encoding")) {
        _ if bodiless => Ok(Framing::None),
        ([], []) if kind == Kind::Request => Ok(Framing::None),
        ([], []) => Ok(Framing::Close),
        ([], ["chunked"]) => Ok(Framing::Chunked),
        ([length], []) if length.bytes().all(|digit| digit.is_ascii_digit()) => length
            .parse()
            .map(Framing::Length)
            .map_err(|_| format!("Content-Length {length:?}")),
        (length, coding) => Err(format!(
            "Content-Length {length:?} and Transfer-Encoding {coding:?}"
        )),
    }
}
