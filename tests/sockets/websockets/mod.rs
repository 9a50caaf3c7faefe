//! WebSocket sessions through the gateway, over hyper and axum, frame by frame.

mod engines_that_prefer_http2;
mod frames;
mod sessions_count_to_their_end;
mod tunnelled_both_ways;
mod without_a_model;

use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use test_kit::{
    body::BoxError,
    socket::{Server, http_client},
    table,
    time::{eventually, within},
    tls::TlsAcceptor,
};
use tokio::net::{TcpListener, TcpStream};
use tower::{ServiceExt, util::BoxCloneSyncService};
use tower_model_route::{
    ModelRoute, ModelRouteLayer, ModelServer, RouteBody, RouteTable, Rule, TrafficPolicy, Tunnels,
    stack,
};

use frames::Side;

/// A gateway in front of an engine that the test plays.
struct Rig {
    server: Server,
    engine: TcpListener,
    tls: Option<TlsAcceptor>,
    table: RouteTable,
    tunnels: Tunnels,
}

/// The HTTP client below the stack.
type Client = BoxCloneSyncService<Request<RouteBody>, Response<Incoming>, BoxError>;

impl Rig {
    async fn new(is_axum: bool, policy: TrafficPolicy) -> Self {
        let client = http_client(false).map_err(BoxError::from);
        Self::with(is_axum, policy, BoxCloneSyncService::new(client), None).await
    }

    /// With this client, and an engine behind TLS.
    async fn with(
        is_axum: bool,
        policy: TrafficPolicy,
        client: Client,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let engine = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", engine.local_addr().unwrap());
        let server = ModelServer::new("server").endpoint(url).model("real");
        let rule = Rule::new("rule").target("server");
        let table = RouteTable::builder()
            .model_server(server.traffic_policy(policy))
            .model_route(ModelRoute::new("route").model_name("asked").rule(rule))
            .build()
            .unwrap();
        let layer = ModelRouteLayer::new(table.clone());
        let tunnels = layer.tunnels();
        let service = stack(layer).service(client);
        let server = match is_axum {
            true => Server::axum(axum::Router::new().fallback_service(service)).await,
            false => Server::hyper(service).await,
        };
        Self {
            server,
            engine,
            tls,
            table,
            tunnels,
        }
    }

    /// A session that has begun: the client's side and the engine's.
    async fn session(&self) -> (Side, Side) {
        let mut client = Side::connect(self.server.address).await;
        client.asks("websocket").await;
        let mut engine = self.engine().await;
        let head = engine.head().await;
        assert!(head.starts_with("GET /v1/realtime?model=real HTTP/1.1\r\n"));
        assert!(head.contains("\r\nconnection: upgrade\r\nupgrade: websocket\r\n"));
        engine.accepts("websocket").await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let head = head.to_ascii_lowercase();
        assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="));
        (client, engine)
    }

    async fn engine(&self) -> Side {
        let socket = self.accept().await;
        match &self.tls {
            Some(tls) => Side::new(within(tls.accept(socket)).await.unwrap()),
            None => Side::new(socket),
        }
    }

    async fn accept(&self) -> TcpStream {
        within(self.engine.accept()).await.unwrap().0
    }

    fn in_flight(&self) -> usize {
        table::in_flight(&self.table)
    }

    async fn is_idle(&self) {
        eventually(|| self.in_flight() == 0 && self.tunnels.count() == 0).await;
        within(self.tunnels.closed()).await;
    }
}

fn policy() -> TrafficPolicy {
    TrafficPolicy::new()
        .timeout(Duration::from_secs(20))
        .total_timeout(Duration::from_secs(20))
}
