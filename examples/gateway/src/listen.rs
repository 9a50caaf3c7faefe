//! Accepts connections, serves them, and finishes what is in flight when it is told to stop.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tower::ServiceExt;

use crate::{
    heads::{Requests, Socket},
    print::say,
};

/// How long a connection may be idle between two requests. Load balancers expect a minute at least.
const IDLE: Duration = Duration::from_secs(75);

/// When a silent client is asked whether it is still there, and how often then.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// As much as hyper reads of an HTTP/1.1 head.
const HEADER_BYTES: u32 = 8_192 + 4_096 * 100;

/// How long to wait when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections from clients, at most so many.
pub(crate) struct Listener {
    listener: TcpListener,
    app: Router,
    permits: Arc<Semaphore>,
}

impl Listener {
    pub(crate) fn new(listener: TcpListener, app: Router, max_connections: usize) -> Self {
        Self {
            listener,
            app,
            permits: Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// Serves until `stop` is ready, and then until every request is answered and `drained` is
    /// ready too. Until then new connections are answered, once each.
    pub(crate) async fn serve(
        self,
        stop: impl Future<Output = ()>,
        drained: impl Future<Output = ()>,
    ) {
        let graceful = GracefulShutdown::new();
        let server = server(true);
        tokio::select! {
            never = self.accept(&server, Some(&graceful)) => match never {},
            () = stop => {}
        }
        let server = self::server(false);
        let answered = async {
            graceful.shutdown().await;
            drained.await;
        };
        tokio::select! {
            never = self.accept(&server, None) => match never {},
            () = answered => {}
        }
    }

    async fn accept(
        &self,
        server: &Builder<TokioExecutor>,
        graceful: Option<&GracefulShutdown>,
    ) -> Infallible {
        loop {
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
                // Nobody closes it.
                return std::future::pending().await;
            };
            match self.listener.accept().await {
                Ok((socket, client)) => {
                    let connection = Connection {
                        client,
                        app: self.app.clone(),
                        server: server.clone(),
                        watcher: graceful.map(GracefulShutdown::watcher),
                        _permit: permit,
                    };
                    tokio::spawn(connection.serve(socket));
                }
                Err(error) => {
                    // Mostly there are no file descriptors left: others have to end first.
                    say(format_args!("*** cannot accept a connection: {error}"));
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

struct Connection {
    client: SocketAddr,
    app: Router,
    server: Builder<TokioExecutor>,
    watcher: Option<Watcher>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, socket: TcpStream) {
        // A token is to leave as it comes. A socket that refuses either is served all the same.
        _ = socket.set_nodelay(true);
        _ = keep_alive(&socket);
        let requests = Requests::default();
        let io = TokioIo::new(Socket::new(socket, requests.clone()));
        let (app, client) = (self.app, self.client);
        let service = service_fn(move |request: Request<Incoming>| {
            let (app, requests) = (app.clone(), requests.clone());
            async move {
                let version = request.version();
                let mut request = request.map(Body::new);
                // For balances that go by the client's address.
                request.extensions_mut().insert(client);
                let answer = async {
                    let Ok(answer) = app.oneshot(request).await;
                    answer
                };
                Ok::<_, Infallible>(requests.count(version, answer).await)
            }
        });
        let connection = self.server.serve_connection_with_upgrades(io, service);
        // What goes wrong with a connection, its client sees.
        _ = match self.watcher {
            Some(watcher) => watcher.watch(connection.into_owned()).await,
            None => connection.await,
        };
    }
}

fn keep_alive(socket: &TcpStream) -> io::Result<()> {
    let keep_alive = TcpKeepalive::new()
        .with_time(KEEP_ALIVE)
        .with_interval(KEEP_ALIVE_INTERVAL);
    SockRef::from(socket).set_tcp_keepalive(&keep_alive)
}
