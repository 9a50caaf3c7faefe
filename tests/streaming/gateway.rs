//! The gateway under test, between clients and engines that the tests play themselves.

use std::net::SocketAddr;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::{JoinHandle, JoinSet},
};
use tower::{Service, ServiceBuilder, retry::RetryLayer, util::Either};
use tower_model_route::{
    AnswerErrorsLayer, ModelRoute, ModelRouteLayer, ModelServer, ResponseBody, RouteBody,
    RouteTable, Rule,
};

use crate::{
    peer::{Peer, SOCKET_BUFFER},
    retry::OnUnavailable,
    within,
};

/// The name that clients ask for.
pub(crate) const ALIAS: &str = "alias";
/// The one that the engine gets.
pub(crate) const REAL: &str = "org/real";

/// A gateway with one engine behind it.
#[derive(Debug)]
pub(crate) struct Gateway {
    address: SocketAddr,
    engine: TcpListener,
    table: RouteTable,
    serving: JoinHandle<()>,
}

impl Gateway {
    pub(crate) async fn new() -> Self {
        Self::with(|layer| layer).await
    }

    pub(crate) async fn with(settings: impl FnOnce(ModelRouteLayer) -> ModelRouteLayer) -> Self {
        Self::start(settings, None).await
    }

    /// One that asks again where the engine says 503.
    pub(crate) async fn retrying(
        settings: impl FnOnce(ModelRouteLayer) -> ModelRouteLayer,
    ) -> Self {
        Self::start(settings, Some(RetryLayer::new(OnUnavailable::new(3)))).await
    }

    async fn start(
        settings: impl FnOnce(ModelRouteLayer) -> ModelRouteLayer,
        retry: Option<RetryLayer<OnUnavailable>>,
    ) -> Self {
        let engine = listen();
        let table = table(&format!("http://{}", engine.local_addr().unwrap()));
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_send_buffer_size(Some(SOCKET_BUFFER as usize));
        let client: Client<_, RouteBody> = Client::builder(TokioExecutor::new()).build(connector);
        let client = match retry {
            Some(retry) => Either::Left(ServiceBuilder::new().layer(retry).service(client)),
            None => Either::Right(client),
        };
        let service = ServiceBuilder::new()
            .layer(settings(ModelRouteLayer::new(table.clone())))
            .layer(AnswerErrorsLayer::new())
            .service(client);
        let listener = listen();
        Self {
            address: listener.local_addr().unwrap(),
            serving: tokio::spawn(serve(listener, service)),
            engine,
            table,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new connection to it.
    pub(crate) async fn client(&self) -> Peer {
        Peer::connect(self.address).await
    }

    /// The next connection that it makes to the engine.
    pub(crate) async fn engine(&self) -> Peer {
        let (socket, _) = within(self.engine.accept()).await.unwrap();
        Peer::new(socket)
    }

    /// It makes none for a while.
    pub(crate) async fn leaves_the_engine_alone(&self) {
        let connected = tokio::time::timeout(crate::A_WHILE, self.engine.accept()).await;
        assert!(connected.is_err(), "the engine was connected to");
    }

    pub(crate) fn in_flight(&self) -> usize {
        let servers = self.table.servers();
        servers.iter().map(|server| server.in_flight()).sum()
    }

    /// Waits until no request counts as in flight any more.
    pub(crate) async fn is_idle(&self) {
        within(async {
            while self.in_flight() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What is accepted here has small buffers, so that what a test sees held up is not just in one of
/// the kernel's.
fn listen() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(SOCKET_BUFFER).unwrap();
    socket.set_send_buffer_size(SOCKET_BUFFER).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket.listen(64).unwrap()
}

async fn serve<S, R>(listener: TcpListener, service: S)
where
    S: Service<Request<Incoming>, Response = Response<ResponseBody<R>>>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    R: http_body::Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>, Data: Send>,
    R: Send + 'static,
{
    // Dropped with the task, and then every connection with it.
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        let service = TowerToHyperService::new(service.clone());
        connections.spawn(async move {
            // What goes wrong with a connection, its client sees.
            _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

/// The engine has the model under another name.
pub(crate) fn table(engine: &str) -> RouteTable {
    RouteTable::builder()
        .model_server(ModelServer::new("real").model(REAL).endpoint(engine))
        .model_route(route(ALIAS))
        .model_route(route(REAL))
        .build()
        .unwrap()
}

fn route(name: &str) -> ModelRoute {
    ModelRoute::new(name)
        .model_name(name)
        .rule(Rule::new("all").target("real"))
}
