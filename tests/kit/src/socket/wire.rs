//! A gateway with one engine behind it, which answers by a script.

use tower::ServiceBuilder;
use tower_model_route::{AnswerErrorsLayer, ModelRouteLayer, RouteBody, RouteTable};

use super::{
    http::http_client, message::Message, peer::Peer, reply::Reply, server::Server,
    upstream::Upstream,
};
use crate::table;

/// The gateway routes by [`table::of_each_kind`].
#[derive(Debug)]
pub struct Wire {
    pub gateway: Server,
    pub upstream: Upstream,
    table: RouteTable,
}

impl Wire {
    /// The engine answers with `{}`.
    pub async fn new() -> Self {
        Self::answering(Reply::ok("{}")).await
    }

    /// The engine always gives this answer.
    pub async fn answering(reply: Reply) -> Self {
        Self::scripted(move |_| reply.clone()).await
    }

    pub async fn scripted(script: impl Fn(&Message) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(script, |layer| layer).await
    }

    /// With options of the layer.
    pub async fn with(
        script: impl Fn(&Message) -> Reply + Send + Sync + 'static,
        options: impl FnOnce(ModelRouteLayer) -> ModelRouteLayer,
    ) -> Self {
        let upstream = Upstream::start(script).await;
        let table = table::of_each_kind(&upstream.url());
        let layer = options(ModelRouteLayer::new(table.clone()));
        Self {
            gateway: Server::routing(layer).await,
            upstream,
            table,
        }
    }

    pub async fn connect(&self) -> Peer {
        self.gateway.connect().await
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, request: impl AsRef<[u8]>) -> Message {
        let mut client = self.connect().await;
        client.send(request).await;
        client.answer().await
    }

    pub fn in_flight(&self) -> usize {
        table::in_flight(&self.table)
    }

    /// What the engine got, all of it.
    pub async fn finish(self) -> Vec<Message> {
        self.gateway.stop().await;
        self.upstream.finish().await.1
    }

    /// The one request that the engine got.
    pub async fn only(self) -> Message {
        let mut requests = self.finish().await;
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }

    /// The engine was not even connected to.
    pub async fn untouched(self) {
        assert_eq!(self.in_flight(), 0);
        self.gateway.stop().await;
        let (connections, requests) = self.upstream.finish().await;
        assert_eq!(connections, 0, "{requests:?}");
    }

    /// The engine may have been sent the start of a request, but never one that it could take for
    /// complete.
    pub async fn never_whole(self) {
        assert_eq!(self.in_flight(), 0);
        self.gateway.stop().await;
        let (_, requests) = self.upstream.finish_with_halves().await;
        let whole = requests.iter().find(|request| request.complete);
        assert!(whole.is_none(), "{whole:?}");
    }
}

impl Server {
    /// Routes by `layer`, and asks the engines by hyper-util's client.
    pub async fn routing(layer: ModelRouteLayer) -> Self {
        Self::hyper(
            ServiceBuilder::new()
                .layer(layer)
                .layer(AnswerErrorsLayer::new())
                .service(http_client::<RouteBody>(false)),
        )
        .await
    }
}
