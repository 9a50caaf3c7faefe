//! An engine on a socket, down to the bytes; when it is dropped, its connections are reset.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// What it does with each request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// It answers; in pieces, if it is asked for a stream.
    Serves,
    /// It accepts, and reads, and that is all.
    Hangs,
    /// It closes the connection with a reset once it has the request.
    Resets,
    /// It says this, and nothing more.
    Says(&'static str),
    /// It says this, keeps the connection, and never goes on.
    Stalls(&'static str),
}

pub(super) struct Engine {
    addr: SocketAddr,
    requests: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Engine {
    pub(super) async fn spawn(kind: Kind) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let requests = Arc::<AtomicUsize>::default();
        let mut tasks = JoinSet::new();
        let count = Arc::clone(&requests);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                socket.set_zero_linger().unwrap();
                socket.set_nodelay(true).unwrap();
                let count = Arc::clone(&count);
                connections.spawn(async move { _ = serve(socket, kind, &count).await });
            }
        });
        Self {
            addr,
            requests,
            tasks,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Resets its connections and listens no more.
    pub(super) async fn kill(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn serve(mut socket: TcpStream, kind: Kind, requests: &AtomicUsize) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let Some(body) = read_request(&mut socket, &mut buffer).await? else {
            return Ok(());
        };
        requests.fetch_add(1, Ordering::SeqCst);
        match kind {
            Kind::Serves if body.contains("\"stream\":true") => stream(&mut socket).await?,
            Kind::Serves => {
                tokio::time::sleep(Duration::from_millis(2)).await;
                socket
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .await?;
            }
            Kind::Hangs => std::future::pending().await,
            Kind::Resets => return Ok(()),
            Kind::Says(answer) => socket.write_all(answer.as_bytes()).await?,
            Kind::Stalls(answer) => {
                socket.write_all(answer.as_bytes()).await?;
                std::future::pending().await
            }
        }
    }
}

async fn stream(socket: &mut TcpStream) -> std::io::Result<()> {
    tokio::time::sleep(Duration::from_millis(2)).await;
    socket
        .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await?;
    for _ in 0..5 {
        socket.write_all(b"3\r\ntok\r\n").await?;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    socket.write_all(b"0\r\n\r\n").await
}

/// The body of the next request; `None` where there is none.
async fn read_request(
    socket: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<String>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if buffer.len() >= end + 4 + length {
                let request: Vec<u8> = buffer.drain(..end + 4 + length).collect();
                return Ok(Some(
                    String::from_utf8(request[end + 4..].to_vec()).unwrap(),
                ));
            }
        }
        if socket.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}
