//! The load: connections that each send the next request when the answer is in.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::Result;

pub(crate) async fn run(
    to: SocketAddr,
    body: &str,
    connections: usize,
    requests: usize,
) -> Result<Duration> {
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {to}\r\ncontent-type: application/json\r\n\
         authorization: Bearer sk-0123456789abcdef\r\nuser-agent: bench\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let request: std::sync::Arc<[u8]> = request.into_bytes().into();
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    for i in 0..connections {
        let share = requests / connections + usize::from(i < requests % connections);
        let request = request.clone();
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(to).await?;
            stream.set_nodelay(true)?;
            for _ in 0..share {
                stream.write_all(&request).await?;
                read_answer(&mut stream).await?;
            }
            Result::Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(begun.elapsed())
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
