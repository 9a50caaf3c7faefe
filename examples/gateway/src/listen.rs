//! Accepts connections, serves them, and finishes what is in flight when it is told to stop.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, http::Request};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Semaphore,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    entrance,
    print::log,
    requests::Requests,
    socket::{Places, Socket},
    workers::Worker,
};

/// How long a connection may be idle between two requests. Load balancers expect a minute at least.
const IDLE: Duration = Duration::from_secs(75);

/// When a silent client is asked whether it is still there, and how often then.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// As much as hyper reads of an HTTP/1.1 head.
const HEADER_BYTES: u32 = 8_192 + 4_096 * 100;

/// How long a connection without a request is kept when the gateway is asked to stop.
const FIRST: Duration = Duration::from_millis(500);

/// How long to wait when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// How many connections may wait to be accepted, as tokio's own `TcpListener::bind` has it.
const BACKLOG: u32 = 1024;

/// An address that is ours, and refuses connections until it is listened to.
#[derive(Debug)]
pub(crate) struct Address {
    addr: SocketAddr,
    socket: TcpSocket,
}

impl Address {
    /// # Errors
    /// It is not to be had; the error says which it is.
    pub(crate) fn reserve(addr: SocketAddr) -> Result<Self, String> {
        bound(addr)
            .map(|socket| Self { addr, socket })
            .map_err(|error| cannot_listen(addr, &error))
    }

    /// With the port that it has got.
    pub(crate) fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// # Errors
    /// Another program has come first.
    pub(crate) fn listen(self) -> Result<TcpListener, String> {
        let listener = self.socket.listen(BACKLOG);
        listener.map_err(|error| cannot_listen(self.addr, &error))
    }
}

fn bound(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // Elsewhere it would let two programs listen.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

fn cannot_listen(addr: SocketAddr, error: &io::Error) -> String {
    let problem = match error.kind() {
        io::ErrorKind::AddrInUse => "another program already does".to_owned(),
        _ => error.to_string(),
    };
    format!(
        "cannot listen on {addr}: {problem}\n\
         choose another address with --listen, such as --listen 127.0.0.1:0 for a free port"
    )
}

/// Connections from clients, at most so many.
pub(crate) struct Listener {
    listener: TcpListener,
    workers: Vec<Worker>,
    permits: Arc<Semaphore>,
    send_timeout: Duration,
}

impl Listener {
    /// Connections go to the worker that has the fewest. A client may take nothing of what it is
    /// sent for `send_timeout`.
    pub(crate) fn new(
        listener: TcpListener,
        workers: Vec<Worker>,
        max_connections: usize,
        send_timeout: Duration,
    ) -> Self {
        Self {
            listener,
            workers,
            send_timeout,
            permits: Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// Serves until `stop` is ready, and then until every request is answered and `drained` is
    /// ready too. Until then new connections are answered, once each.
    pub(crate) async fn serve<D: Future<Output = ()>>(
        self,
        stop: impl Future<Output = ()>,
        drained: impl Fn() -> D,
    ) {
        let (early, late) = (Connections::default(), Connections::default());
        let accept = self.accept(server(true), &early);
        tokio::select! {
            never = accept => match never {},
            () = stop => {}
        }
        let accept = self.accept(server(false), &late);
        let answered = async {
            for connections in [&early, &late] {
                connections.end().await;
                // They may have handed WebSockets over.
                drained().await;
            }
        };
        tokio::select! {
            never = accept => match never {},
            () = answered => {}
        }
    }

    async fn accept(
        &self,
        server: Builder<TokioExecutor>,
        connections: &Connections,
    ) -> Infallible {
        loop {
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
                // Nobody closes it.
                return std::future::pending().await;
            };
            match self.listener.accept().await {
                Ok((socket, client)) => {
                    let worker = Worker::idlest(&self.workers);
                    let connection = Connection {
                        client,
                        app: worker.app.clone(),
                        server: server.clone(),
                        send_timeout: self.send_timeout,
                        leave: connections.leave.clone(),
                        places: (permit, worker.place()),
                    };
                    worker.serve(&connections.tasks, socket, |socket| {
                        connection.serve(socket)
                    });
                }
                Err(error) => {
                    // Mostly there are no file descriptors left: others have to end first.
                    log(&format!("*** cannot accept a connection: {error}"));
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

fn server(keep_alive: bool) -> Builder<TokioExecutor> {
    let mut server = Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .keep_alive(keep_alive);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .max_header_list_size(HEADER_BYTES);
    server
}

/// Connections that end together.
#[derive(Default)]
struct Connections {
    tasks: TaskTracker,
    leave: CancellationToken,
}

impl Connections {
    /// Returns once what has begun is answered.
    async fn end(&self) {
        self.leave.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

struct Connection {
    client: SocketAddr,
    app: Router,
    server: Builder<TokioExecutor>,
    send_timeout: Duration,
    leave: CancellationToken,
    places: Places,
}

impl Connection {
    /// Serves until the client leaves, or `leave` is cancelled and what has begun is answered.
    async fn serve(self, socket: TcpStream) {
        // A token is to leave as it comes. A socket that refuses either is served all the same.
        _ = socket.set_nodelay(true);
        _ = keep_alive(&socket);
        let requests = Requests::new(self.send_timeout);
        let seen = requests.clone();
        let socket = Socket::new(socket, requests.clone(), self.places);
        let (app, client) = (self.app, self.client);
        let service = service_fn(move |request: Request<Incoming>| {
            let (app, requests) = (app.clone(), requests.clone());
            async move {
                let version = request.version();
                let mut request = request.map(|body| requests.body(body));
                // For balances that go by the client's address.
                request.extensions_mut().insert(client);
                let answer = requests.count(version, entrance::answer(app, request));
                Ok::<_, Infallible>(answer.await)
            }
        });
        let leaving = async {
            self.leave.cancelled().await;
            if !seen.any() {
                // Its first request may be on the way.
                sleep(FIRST).await;
            }
        };
        let mut connection = pin!(
            self.server
                .serve_connection_with_upgrades(TokioIo::new(socket), service)
        );
        tokio::select! {
            // What goes wrong with a connection, its client sees.
            _ = connection.as_mut() => return,
            () = leaving => {}
        }
        connection.as_mut().graceful_shutdown();
        _ = connection.await;
    }
}

fn keep_alive(socket: &TcpStream) -> io::Result<()> {
    let keep_alive = TcpKeepalive::new()
        .with_time(KEEP_ALIVE)
        .with_interval(KEEP_ALIVE_INTERVAL);
    SockRef::from(socket).set_tcp_keepalive(&keep_alive)
}
