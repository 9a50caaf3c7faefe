//! Uploads that stop before their end, and streams that are open.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::Result;

/// An upload of which something is still to be sent.
pub(crate) struct Upload {
    stream: TcpStream,
    body: Arc<[u8]>,
    withheld: usize,
}

impl Upload {
    /// Sends all of `body` but its last bytes.
    pub(crate) async fn begin(to: SocketAddr, body: &Arc<[u8]>, withheld: usize) -> Result<Self> {
        let mut stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {to}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        let now = body.len().saturating_sub(withheld);
        stream.write_all(&body[..now]).await?;
        Ok(Self {
            stream,
            body: Arc::clone(body),
            withheld,
        })
    }

    /// Sends what is left and reads the answer.
    pub(crate) async fn end(mut self) -> Result<()> {
        let left = self.body.len().saturating_sub(self.withheld);
        self.stream.write_all(&self.body[left..]).await?;
        answer(&mut self.stream).await.map(|_| ())
    }
}

/// Asks for a stream, and returns its connection once its first event has come.
pub(crate) async fn open_stream(to: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(to).await?;
    let body = crate::support::tiny(true);
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {to}\r\nauthorization: Bearer sk-0123456789abcdef\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::with_capacity(1024);
    while !String::from_utf8_lossy(&answer).contains("}\n\n") {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(String::from_utf8_lossy(&answer).into());
        }
    }
    Ok(stream)
}

/// The body of what is answered to a GET.
pub(crate) async fn get(from: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(from).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {from}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    answer(&mut stream).await
}

/// Reads one answer with a Content-Length; anything but a 200 is an error.
async fn answer(stream: &mut TcpStream) -> Result<String> {
    let mut answer = Vec::new();
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err("the connection was closed".into());
        }
        let text = std::str::from_utf8(&answer)?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_ascii_lowercase();
        if !head.starts_with("http/1.1 200") {
            return Err(text.into());
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .ok_or("no content-length")?;
        if body.len() == length.parse::<usize>()? {
            return Ok(body.to_owned());
        }
    }
}
