//! A client that writes what it is given and reads strictly.

use std::{fmt::Write, net::SocketAddr};

use tokio::{
    io::AsyncWriteExt,
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::{
    message::{Kind, Message, Reader},
    within,
};

/// One connection to the gateway.
#[derive(Debug)]
pub(crate) struct Client {
    reader: Reader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let socket = within(TcpStream::connect(address)).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let (reader, writer) = socket.into_split();
        Self {
            reader: Reader::new(reader),
            writer,
        }
    }

    /// Writes; that the gateway no longer listens is not its failure.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        _ = within(self.writer.write_all(bytes.as_ref())).await;
    }

    /// The answer, which may come before all of `bytes` could be written.
    pub(crate) async fn answer_while_sending(&mut self, bytes: impl AsRef<[u8]>) -> Message {
        let Self { reader, writer } = self;
        let answer = within(reader.message(Kind::Answer));
        let send = async {
            _ = writer.write_all(bytes.as_ref()).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            answer = answer => match answer {
                Ok(answer) => answer.expect("an answer"),
                Err(malformed) => panic!("client got {malformed}"),
            },
            () = send => unreachable!("it waits for the answer"),
        }
    }

    /// Says that nothing more comes.
    pub(crate) async fn shut_down(&mut self) {
        _ = within(self.writer.shutdown()).await;
    }

    /// The next answer, interim ones (1xx) included.
    pub(crate) async fn answer(&mut self) -> Message {
        self.read(Kind::Answer).await.expect("an answer")
    }

    pub(crate) async fn answer_to_head(&mut self) -> Message {
        self.read(Kind::AnswerToHead).await.expect("an answer")
    }

    /// The next answer, or `None` where the gateway has closed the connection instead.
    pub(crate) async fn answer_or_end(&mut self) -> Option<Message> {
        self.read(Kind::Answer).await
    }

    /// What comes up to `end`, not parsed.
    pub(crate) async fn raw_until(&mut self, end: &str) -> String {
        let raw = within(self.reader.raw(end.as_bytes())).await;
        raw.unwrap_or_else(|| panic!("{end:?} did not come"))
    }

    async fn read(&mut self, kind: Kind) -> Option<Message> {
        within(self.reader.message(kind))
            .await
            .unwrap_or_else(|malformed| panic!("client got {malformed}"))
    }
}

/// A chat request with its length and nothing else.
pub(crate) fn post(body: impl AsRef<[u8]>) -> Vec<u8> {
    post_with("", body)
}

/// A chat request with its length and further fields, each with its line end.
pub(crate) fn post_with(fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    post_to("/v1/chat/completions", fields, body)
}

pub(crate) fn post_to(target: &str, fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: gateway.test\r\n{fields}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// A chat request in chunks, with further fields and with trailers, each with its line end.
pub(crate) fn post_chunked(fields: &str, chunks: &[&str], trailers: &str) -> Vec<u8> {
    let mut request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway.test\r\n{fields}\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    for chunk in chunks {
        write!(request, "{:x}\r\n{chunk}\r\n", chunk.len()).unwrap();
    }
    write!(request, "0\r\n{trailers}\r\n").unwrap();
    request.into_bytes()
}
