//! An engine that replies by a script, and records each request.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::{JoinHandle, JoinSet},
};

use super::{
    message::{Kind, Message},
    parser::Parser,
    reply::Reply,
};
use crate::time::within;

/// The running engine. Dropped, it goes on; see [`kill`](Self::kill).
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    seen: UnboundedReceiver<Result<Message, String>>,
    requests: Arc<AtomicUsize>,
    accepting: JoinHandle<(usize, JoinSet<()>)>,
    /// The address of the connection after which no other is accepted.
    last: Arc<OnceLock<SocketAddr>>,
}

/// What each connection has of the engine.
struct Connection<F> {
    script: Arc<F>,
    log: UnboundedSender<Result<Message, String>>,
    requests: Arc<AtomicUsize>,
    /// Whether it ends with a reset.
    is_reset: bool,
}

impl Upstream {
    pub async fn start(script: impl Fn(&Message) -> Reply + Send + Sync + 'static) -> Self {
        Self::begin(script, false).await
    }

    /// One whose connections end with a reset, whatever has been sent.
    pub async fn abrupt(script: impl Fn(&Message) -> Reply + Send + Sync + 'static) -> Self {
        Self::begin(script, true).await
    }

    async fn begin(
        script: impl Fn(&Message) -> Reply + Send + Sync + 'static,
        is_reset: bool,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (log, seen) = unbounded_channel();
        let (last, requests) = (Arc::<OnceLock<_>>::default(), Arc::<AtomicUsize>::default());
        let connection = Connection {
            script: Arc::new(script),
            log,
            requests: Arc::clone(&requests),
            is_reset,
        };
        Self {
            address,
            seen,
            requests,
            accepting: tokio::spawn(accept(listener, connection, Arc::clone(&last))),
            last,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many whole requests it has got.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// The next request, as soon as it is there.
    pub async fn next(&mut self) -> Message {
        let seen = within(self.seen.recv()).await.expect("a request");
        let seen = seen.unwrap_or_else(|malformed| panic!("upstream got {malformed}"));
        assert!(seen.complete, "upstream got half a request: {seen:?}");
        seen
    }

    /// Breaks its connections off and listens no more.
    pub async fn kill(mut self) {
        self.accepting.abort();
        _ = within(&mut self.accepting).await;
    }

    /// How many connections there were, and the requests not yet taken by [`next`](Self::next).
    ///
    /// To be called when the gateway is gone: it waits for every connection to end, so that
    /// nothing can come after it.
    pub async fn finish(self) -> (usize, Vec<Message>) {
        let (connections, requests) = self.finish_with_halves().await;
        if let Some(half) = requests.iter().find(|request| !request.complete) {
            panic!("upstream got half a request: {half:?}");
        }
        (connections, requests)
    }

    /// The same, and requests that were broken off are allowed: they are among those returned.
    pub async fn finish_with_halves(mut self) -> (usize, Vec<Message>) {
        // Connections are accepted in their order, so before this one are all that there were.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        self.last.set(socket.local_addr().unwrap()).unwrap();
        let last = within(socket.connect(self.address)).await.unwrap();
        let (connections, _running) = within(self.accepting).await.unwrap();
        drop(last);
        let mut requests = Vec::new();
        while let Some(seen) = within(self.seen.recv()).await {
            match seen {
                Ok(request) => requests.push(request),
                Err(malformed) => panic!("upstream got {malformed}"),
            }
        }
        (connections, requests)
    }
}

/// How many connections there were, and those that are not yet at their end.
async fn accept<F>(
    listener: TcpListener,
    connection: Connection<F>,
    last: Arc<OnceLock<SocketAddr>>,
) -> (usize, JoinSet<()>)
where
    F: Fn(&Message) -> Reply + Send + Sync + 'static,
{
    let (mut connections, mut running) = (0, JoinSet::new());
    loop {
        let (socket, peer) = listener.accept().await.unwrap();
        if last.get() == Some(&peer) {
            return (connections, running);
        }
        connections += 1;
        let connection = connection.clone();
        running.spawn(async move {
            if let Err(malformed) = connection.serve(socket).await {
                // Nobody listens once the test is over.
                _ = connection.log.send(Err(malformed));
            }
        });
    }
}

impl<F: Fn(&Message) -> Reply> Connection<F> {
    async fn serve(&self, socket: TcpStream) -> Result<(), String> {
        if self.is_reset {
            socket.set_zero_linger().unwrap();
            socket.set_nodelay(true).unwrap();
        }
        let (read, mut write) = socket.into_split();
        let mut parser = Parser::new(read);
        while let Some(request) = parser.message(Kind::Request).await? {
            if !request.complete {
                _ = self.log.send(Ok(request));
                return Ok(());
            }
            let reply = (self.script)(&request);
            self.requests.fetch_add(1, Ordering::SeqCst);
            _ = self.log.send(Ok(request));
            if !reply.perform(&mut write).await {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl<F> Clone for Connection<F> {
    fn clone(&self) -> Self {
        Self {
            script: Arc::clone(&self.script),
            log: self.log.clone(),
            requests: Arc::clone(&self.requests),
            is_reset: self.is_reset,
        }
    }
}
