//! The gateway under test, on a port of its own.

use std::{net::Ipv4Addr, time::Duration};

use axum::serve::ListenerExt;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, task::JoinSet};
use tower::{Service, ServiceBuilder};
use tower_model_route::{AnswerErrorsLayer, ModelRouteLayer, RouteBody, RouteTable};

/// What serves the gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Server {
    Axum,
    Hyper,
}

/// What the client speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    Http1,
    H2c,
}

/// Every way to the gateway.
pub(crate) const WAYS: [(Server, Protocol); 4] = [
    (Server::Axum, Protocol::Http1),
    (Server::Axum, Protocol::H2c),
    (Server::Hyper, Protocol::Http1),
    (Server::Hyper, Protocol::H2c),
];

/// A gateway that listens until this is dropped, and a client of it.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) table: RouteTable,
    pub(crate) url: String,
    pub(crate) client: Client<HttpConnector, axum::body::Body>,
    _server: JoinSet<()>,
}

impl Gateway {
    pub(crate) async fn spawn((server, protocol): (Server, Protocol), table: RouteTable) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = ServiceBuilder::new()
            .layer(ModelRouteLayer::new(table.clone()))
            .layer(AnswerErrorsLayer::new())
            .service(Client::builder(TokioExecutor::new()).build::<_, RouteBody>(connector()));
        let mut tasks = JoinSet::new();
        match server {
            Server::Axum => {
                let app = axum::Router::new().fallback_service(service);
                let listener = listener.tap_io(|socket| socket.set_nodelay(true).unwrap());
                tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
            }
            Server::Hyper => {
                tasks.spawn(serve(listener, service));
            }
        }
        Self {
            table,
            url,
            client: client(protocol),
            _server: tasks,
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.table
            .servers()
            .iter()
            .map(|server| server.in_flight())
            .sum()
    }
}

fn client(protocol: Protocol) -> Client<HttpConnector, axum::body::Body> {
    Client::builder(TokioExecutor::new())
        .http2_only(matches!(protocol, Protocol::H2c))
        .build(connector())
}

/// Without the 40 ms for which Nagle's algorithm holds back what follows a small write.
fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector
}

/// Serves `service` with nothing but hyper.
async fn serve<S, R>(listener: TcpListener, service: S)
where
    S: Service<Request<Incoming>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: std::error::Error + Send + Sync,
    S::Future: Send,
    R: http_body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        let service = TowerToHyperService::new(service.clone());
        connections.spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            // A connection that breaks is the client's affair.
            _ = builder
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

/// `future`, or a panic where it hangs.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    match tokio::time::timeout(Duration::from_secs(20), future).await {
        Ok(output) => output,
        Err(_) => panic!("nothing happened for 20 seconds"),
    }
}

/// Waits until `holds`: for what another task does in its own time.
pub(crate) async fn eventually(holds: impl Fn() -> bool) {
    within(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}
