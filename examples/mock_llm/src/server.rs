//! Serves an engine on a socket, over HTTP/1.1 and h2c alike.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{JoinHandle, JoinSet},
};

use crate::{
    Engine,
    monitor::{Monitor, Received},
    routes,
};

/// How long a shutdown waits for the requests in flight.
const GRACE: Duration = Duration::from_secs(2);

/// How long the server waits when it cannot accept (mostly for a file descriptor).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An engine that listens. When this is dropped, its connections are cut.
#[derive(Debug)]
#[must_use = "an engine stops when its handle is dropped"]
pub struct RunningEngine {
    addr: SocketAddr,
    monitor: Arc<Monitor>,
    stop: Arc<Notify>,
    server: JoinHandle<()>,
}

impl RunningEngine {
    pub(crate) async fn start(engine: Engine, addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let monitor = Arc::<Monitor>::default();
        let stop = Arc::<Notify>::default();
        let router = routes::router(engine, Arc::clone(&monitor));
        let server = tokio::spawn(serve(listener, router, Arc::clone(&stop)));
        Ok(Self {
            addr,
            monitor,
            stop,
            server,
        })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its base URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// How many inference requests it has received, each counted when its body has arrived.
    pub fn requests(&self) -> u64 {
        self.monitor.requests()
    }

    /// The newest inference request.
    pub fn last_request(&self) -> Option<Received> {
        self.monitor.last_request()
    }

    /// How many inference requests it is at work on: from their head to the end of the
    /// answer's body, or until the client goes away.
    pub fn in_flight(&self) -> u64 {
        self.monitor.in_flight()
    }

    /// Stops listening, lets the requests in flight finish for two seconds at the most, and
    /// cuts what is left.
    pub async fn shutdown(mut self) {
        self.stop.notify_one();
        // The only failure is a panic, which has been reported where it happened.
        _ = (&mut self.server).await;
    }
}

impl Drop for RunningEngine {
    fn drop(&mut self) {
        // The connections are tasks of the server's own set and end with it.
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, router: Router, stop: Arc<Notify>) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(connection(socket, router.clone(), &graceful));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            // Connections that ended are not kept.
            Some(_) = connections.join_next() => {}
            () = stop.notified() => break,
        }
    }
    drop(listener);
    // Whether all finished or time is up, the rest ends with the set.
    _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}

/// Serves one connection until it ends or `graceful` asks it to.
fn connection(
    socket: TcpStream,
    router: Router,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + use<> {
    let watcher = graceful.watcher();
    async move {
        // A token is to leave as it is generated. Without this it only leaves later.
        _ = socket.set_nodelay(true);
        let builder = auto::Builder::new(TokioExecutor::new());
        let service = TowerToHyperService::new(router);
        let connection = builder.serve_connection(TokioIo::new(socket), service);
        // A connection that breaks is the client's affair, or what the engine was told to do.
        _ = watcher.watch(connection.into_owned()).await;
    }
}
