//! The gateway under test, and an engine behind it.

use std::{convert::Infallible, error::Error, net::SocketAddr};

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tower::{Service, ServiceBuilder};
use tower_model_route::{
    AnswerErrorsLayer, ModelMatch, ModelRoute, ModelRouteLayer, ModelServer, RouteBody, RouteTable,
    Rule, StringMatch,
};

use crate::{
    client::Client,
    message::Message,
    upstream::{Answer, Upstream},
    within,
};

/// A running server.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Gateway {
    /// Routes by `layer`, and asks the engines by hyper-util's client.
    pub(crate) async fn start(layer: ModelRouteLayer) -> Self {
        let client: HttpClient<HttpConnector, RouteBody> =
            HttpClient::builder(TokioExecutor::new()).build_http();
        Self::serve(
            ServiceBuilder::new()
                .layer(layer)
                .layer(AnswerErrorsLayer::new())
                .service(client),
        )
        .await
    }

    /// HTTP/1 and, with prior knowledge, HTTP/2.
    pub(crate) async fn serve<S, B>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Body<Error: Into<Box<dyn Error + Send + Sync>>, Data: Send> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            // Dropped with the task, and then every connection with it.
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                socket.set_nodelay(true).unwrap();
                let service = TowerToHyperService::new(service.clone());
                connections.spawn(async move {
                    // What goes wrong with a connection, its client sees.
                    _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection_with_upgrades(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        Self { address, serving }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Ends every connection, also those to the engines.
    pub(crate) async fn stop(self) {
        self.serving.abort();
        _ = within(self.serving).await;
    }
}

/// A gateway with one engine behind it.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) gateway: Gateway,
    pub(crate) upstream: Upstream,
    table: RouteTable,
}

impl Wire {
    /// The engine always gives this answer.
    pub(crate) async fn answering(answer: Answer) -> Self {
        Self::scripted(move |_| answer.clone()).await
    }

    /// The engine answers with `{}`.
    pub(crate) async fn new() -> Self {
        Self::answering(Answer::ok("{}")).await
    }

    pub(crate) async fn scripted(
        script: impl Fn(&Message) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::with(script, |layer| layer).await
    }

    pub(crate) async fn with(
        script: impl Fn(&Message) -> Answer + Send + Sync + 'static,
        settings: impl FnOnce(ModelRouteLayer) -> ModelRouteLayer,
    ) -> Self {
        let upstream = Upstream::start(script).await;
        let table = table(&format!("http://{}", upstream.address()));
        let layer = settings(ModelRouteLayer::new(table.clone()));
        Self {
            gateway: Gateway::start(layer).await,
            upstream,
            table,
        }
    }

    pub(crate) async fn connect(&self) -> Client {
        self.gateway.connect().await
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: impl AsRef<[u8]>) -> Message {
        let mut client = self.connect().await;
        client.send(request).await;
        client.answer().await
    }

    pub(crate) fn in_flight(&self) -> usize {
        in_flight(&self.table)
    }

    /// What the engine got, all of it.
    pub(crate) async fn finish(self) -> Vec<Message> {
        self.gateway.stop().await;
        self.upstream.finish().await.1
    }

    /// The one request that the engine got.
    pub(crate) async fn only(self) -> Message {
        let mut requests = self.finish().await;
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }

    /// The engine was not even connected to.
    pub(crate) async fn untouched(self) {
        assert_eq!(self.in_flight(), 0);
        self.gateway.stop().await;
        let (connections, requests) = self.upstream.finish().await;
        assert_eq!(connections, 0, "{requests:?}");
    }

    /// The engine may have been sent the start of a request, but never one that it could take for
    /// complete.
    pub(crate) async fn never_whole(self) {
        assert_eq!(self.in_flight(), 0);
        self.gateway.stop().await;
        let (_, requests) = self.upstream.finish_with_halves().await;
        let whole = requests.iter().find(|request| request.complete);
        assert!(whole.is_none(), "{whole:?}");
    }
}

pub(crate) fn in_flight(table: &RouteTable) -> usize {
    let servers = table.servers();
    servers.iter().map(|server| server.in_flight()).sum()
}

/// One of each kind of route, all to one engine.
pub(crate) fn table(engine: &str) -> RouteTable {
    let to = |name: &str, server: &str| {
        ModelRoute::new(name)
            .model_name(name)
            .rule(Rule::new("all").target(server))
    };
    let gold = ModelMatch::new().header("x-tier", StringMatch::exact("gold"));
    RouteTable::builder()
        .model_server(ModelServer::new("real").model("org/real").endpoint(engine))
        .model_server(
            ModelServer::new("other")
                .model("org/other")
                .endpoint(engine),
        )
        .model_server(ModelServer::new("odd").model("\"q\\\n😀").endpoint(engine))
        .model_server(ModelServer::new("as-it-is").endpoint(engine))
        .model_server(ModelServer::new("down"))
        .model_route(to("alias", "real").lora_adapter("lora-A"))
        .model_route(to("an-alias-longer-than-the-real-name", "real"))
        .model_route(to("😀", "real"))
        .model_route(to("org/real", "real"))
        .model_route(to("second", "other"))
        .model_route(to("odd", "odd"))
        .model_route(to("plain", "as-it-is"))
        .model_route(to("down", "down"))
        .model_route(
            ModelRoute::new("gated")
                .model_name("gated")
                .rule(Rule::new("gold").when(gold).target("real")),
        )
        .build()
        .unwrap()
}
