//! The load: connections that each send the next request when the answer is in.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::Result;

/// The fields of a chat that OpenAI's client for Python sends, beside Host and Content-Length.
const FIELDS: [(&str, &str); 12] = [
    ("accept-encoding", "gzip, deflate"),
    ("accept", "application/json"),
    ("content-type", "application/json"),
    ("user-agent", "OpenAI/Python 1.99.0"),
    ("x-stainless-lang", "python"),
    ("x-stainless-package-version", "1.99.0"),
    ("x-stainless-os", "Linux"),
    ("x-stainless-arch", "x64"),
    ("x-stainless-runtime", "CPython"),
    ("x-stainless-runtime-version", "3.12.3"),
    (
        "authorization",
        "Bearer sk-0123456789abcdef0123456789abcdef",
    ),
    ("x-stainless-retry-count", "0"),
];

/// How clients speak.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    /// Each connection has one request at a time, as those of HTTP/1.1.
    Http2,
}

pub(crate) async fn run(
    to: SocketAddr,
    protocol: Protocol,
    body: &str,
    connections: usize,
    requests: usize,
) -> Result<Duration> {
    let fields: String = FIELDS
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {to}\r\n{fields}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let request = Bytes::from(request.into_bytes());
    let body = Bytes::copy_from_slice(body.as_bytes());
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    for i in 0..connections {
        let share = requests / connections + usize::from(i < requests % connections);
        match protocol {
            Protocol::Http1 => tasks.spawn(over_http1(to, request.clone(), share)),
            Protocol::Http2 => tasks.spawn(over_http2(to, body.clone(), share)),
        };
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(begun.elapsed())
}

async fn over_http1(to: SocketAddr, request: Bytes, requests: usize) -> Result<()> {
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    for _ in 0..requests {
        stream.write_all(&request).await?;
        read_answer(&mut stream).await?;
    }
    Ok(())
}

async fn over_http2(to: SocketAddr, body: Bytes, requests: usize) -> Result<()> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (mut client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    for _ in 0..requests {
        let mut request = Request::post(format!("http://{to}/v1/chat/completions"));
        for (name, value) in FIELDS {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body.clone()))?;
        let answer = client.send_request(request).await?;
        let status = answer.status();
        answer.into_body().collect().await?;
        if !status.is_success() {
            return Err(format!("the answer is {status}").into());
        }
    }
    drop(client);
    connection.await??;
    Ok(())
}

/// Reads one answer with a Content-Length; anything but a 200 is an error.
async fn read_answer(stream: &mut TcpStream) -> Result<()> {
    let mut answer = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err("the connection was closed".into());
        }
        let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = std::str::from_utf8(&answer[..end])?.to_ascii_lowercase();
        if !head.starts_with("http/1.1 200") {
            return Err(head.into());
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .ok_or("no content-length")?;
        while answer.len() < end + 4 + length.trim().parse::<usize>()? {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err("the answer was cut".into());
            }
        }
        return Ok(());
    }
}
