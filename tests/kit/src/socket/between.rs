//! A gateway between clients and an engine that the test plays itself.

use std::net::SocketAddr;

use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::net::{TcpListener, TcpSocket};
use tower::{ServiceBuilder, retry::RetryLayer, util::Either};
use tower_model_route::{AnswerErrorsLayer, ModelRouteLayer, RouteBody, RouteTable};

use super::{
    peer::{Peer, SOCKET_BUFFER},
    retry::OnUnavailable,
    server::Server,
};
use crate::{
    table,
    time::{A_WHILE, within},
};

/// The gateway routes by [`table::of_each_kind`].
#[derive(Debug)]
pub struct Between {
    gateway: Server,
    engine: TcpListener,
    table: RouteTable,
}

impl Between {
    pub async fn new() -> Self {
        Self::with(|layer| layer).await
    }

    /// With options of the layer.
    pub async fn with(options: impl FnOnce(ModelRouteLayer) -> ModelRouteLayer) -> Self {
        Self::start(options, None)
    }

    /// One that asks again where the engine says 503.
    pub async fn retrying(options: impl FnOnce(ModelRouteLayer) -> ModelRouteLayer) -> Self {
        Self::start(options, Some(RetryLayer::new(OnUnavailable::new(3))))
    }

    fn start(
        options: impl FnOnce(ModelRouteLayer) -> ModelRouteLayer,
        retry: Option<RetryLayer<OnUnavailable>>,
    ) -> Self {
        let engine = listen();
        let table = table::of_each_kind(&format!("http://{}", engine.local_addr().unwrap()));
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_send_buffer_size(Some(SOCKET_BUFFER as usize));
        let client: Client<_, RouteBody> = Client::builder(TokioExecutor::new()).build(connector);
        let client = match retry {
            Some(retry) => Either::Left(ServiceBuilder::new().layer(retry).service(client)),
            None => Either::Right(client),
        };
        let service = ServiceBuilder::new()
            .layer(options(ModelRouteLayer::new(table.clone())))
            .layer(AnswerErrorsLayer::new())
            .service(client);
        Self {
            gateway: Server::on(listen(), service),
            engine,
            table,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.gateway.address
    }

    /// A new connection to it.
    pub async fn client(&self) -> Peer {
        self.gateway.connect().await
    }

    /// The next connection that it makes to the engine.
    pub async fn engine(&self) -> Peer {
        let (socket, _) = within(self.engine.accept()).await.unwrap();
        Peer::new(socket)
    }

    /// It makes none for a while.
    pub async fn leaves_the_engine_alone(&self) {
        let connected = tokio::time::timeout(A_WHILE, self.engine.accept()).await;
        assert!(connected.is_err(), "the engine was connected to");
    }

    pub fn in_flight(&self) -> usize {
        table::in_flight(&self.table)
    }

    /// Waits until no request counts as in flight any more.
    pub async fn is_idle(&self) {
        within(async {
            while self.in_flight() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
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
