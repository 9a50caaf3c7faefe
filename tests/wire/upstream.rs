//! An engine that does what it is told, and writes down what it is sent.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{
        Notify,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    task::JoinHandle,
};

use crate::{
    message::{Kind, Message, Reader},
    within,
};

/// What the engine does once it has read a request.
#[derive(Clone, Debug)]
pub(crate) struct Answer(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<u8>),
    Wait(Arc<Notify>),
    Close,
}

impl Answer {
    pub(crate) fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self(vec![Step::Write(bytes.as_ref().to_vec())])
    }

    /// 200 with this body and its length.
    pub(crate) fn ok(body: &str) -> Self {
        let length = body.len();
        Self::new(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }

    pub(crate) fn then_wait(mut self, for_it: &Arc<Notify>) -> Self {
        self.0.push(Step::Wait(Arc::clone(for_it)));
        self
    }

    pub(crate) fn then(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.push(Step::Write(bytes.as_ref().to_vec()));
        self
    }

    pub(crate) fn then_close(mut self) -> Self {
        self.0.push(Step::Close);
        self
    }
}

/// The running engine.
#[derive(Debug)]
pub(crate) struct Upstream {
    address: SocketAddr,
    seen: UnboundedReceiver<Result<Message, String>>,
    accepting: JoinHandle<usize>,
    /// The address of the connection after which no other is accepted.
    last: Arc<OnceLock<SocketAddr>>,
}

impl Upstream {
    pub(crate) async fn start(script: impl Fn(&Message) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (log, seen) = unbounded_channel();
        let last = Arc::<OnceLock<_>>::default();
        let accepting = tokio::spawn(accept(listener, Arc::new(script), log, Arc::clone(&last)));
        Self {
            address,
            seen,
            accepting,
            last,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next request, as soon as it is there.
    pub(crate) async fn next(&mut self) -> Message {
        let seen = within(self.seen.recv()).await.expect("a request");
        let seen = seen.unwrap_or_else(|malformed| panic!("upstream got {malformed}"));
        assert!(seen.complete, "upstream got half a request: {seen:?}");
        seen
    }

    /// How many connections there were, and the requests not yet taken by [`next`](Self::next).
    ///
    /// To be called when the gateway is gone: it waits for every connection to end, so that
    /// nothing can come after it.
    pub(crate) async fn finish(self) -> (usize, Vec<Message>) {
        let (connections, requests) = self.finish_with_halves().await;
        if let Some(half) = requests.iter().find(|request| !request.complete) {
            panic!("upstream got half a request: {half:?}");
        }
        (connections, requests)
    }

    /// The same, and requests that were broken off are allowed: they are among those returned.
    pub(crate) async fn finish_with_halves(mut self) -> (usize, Vec<Message>) {
        // Connections are accepted in their order, so behind this one there is none of before.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        self.last.set(socket.local_addr().unwrap()).unwrap();
        let last = within(socket.connect(self.address)).await.unwrap();
        let connections = within(self.accepting).await.unwrap();
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

async fn accept<F>(
    listener: TcpListener,
    script: Arc<F>,
    log: UnboundedSender<Result<Message, String>>,
    last: Arc<OnceLock<SocketAddr>>,
) -> usize
where
    F: Fn(&Message) -> Answer + Send + Sync + 'static,
{
    let mut connections = 0;
    loop {
        let (socket, peer) = listener.accept().await.unwrap();
        if last.get() == Some(&peer) {
            return connections;
        }
        connections += 1;
        let (script, log) = (Arc::clone(&script), log.clone());
        tokio::spawn(async move {
            if let Err(malformed) = serve(socket, &*script, &log).await {
                // Nobody listens once the test is over.
                _ = log.send(Err(malformed));
            }
        });
    }
}

async fn serve<F>(
    socket: TcpStream,
    script: &F,
    log: &UnboundedSender<Result<Message, String>>,
) -> Result<(), String>
where
    F: Fn(&Message) -> Answer,
{
    let (read, mut write) = socket.into_split();
    let mut reader = Reader::new(read);
    while let Some(request) = reader.message(Kind::Request).await? {
        if !request.complete {
            _ = log.send(Ok(request));
            return Ok(());
        }
        let answer = script(&request);
        _ = log.send(Ok(request));
        for step in answer.0 {
            match step {
                // A gateway that has gone away is what some tests are about.
                Step::Write(bytes) => _ = write.write_all(&bytes).await,
                Step::Wait(for_it) => for_it.notified().await,
                Step::Close => return Ok(()),
            }
        }
    }
    Ok(())
}
