//! The recommended stack in axum, and its clients.

use axum::body::Body;
use http::Request;
use test_kit::{
    answer::Answer,
    socket::{HttpClient, Server, http_client},
    table::{in_flight, table},
    time::eventually,
};
use tower_model_route::{ModelServer, RouteBody, RouteTable, Rule, TrafficPolicy, stack};

pub(super) struct Gateway {
    pub(super) table: RouteTable,
    server: Server,
}

impl Gateway {
    pub(super) async fn to<const N: usize>(urls: [String; N], policy: TrafficPolicy) -> Self {
        let server = ModelServer::new("server")
            .endpoints(urls)
            .traffic_policy(policy);
        let table = table([server], Rule::new("rule").target("server"));
        let service = stack(table.clone()).service(http_client::<RouteBody>(false));
        Self {
            table,
            server: Server::axum(axum::Router::new().fallback_service(service)).await,
        }
    }

    pub(super) fn client(&self) -> GatewayClient {
        GatewayClient {
            client: http_client(false),
            url: format!("{}/v1/chat/completions", self.server.url()),
        }
    }

    pub(super) async fn ask(&self) -> Answer {
        self.client().ask(r#"{"model":"asked"}"#).await
    }

    /// Waits until nothing is in flight any more.
    pub(super) async fn is_idle(&self) {
        eventually(|| in_flight(&self.table) == 0).await;
    }
}

#[derive(Clone)]
pub(super) struct GatewayClient {
    client: HttpClient<Body>,
    url: String,
}

impl GatewayClient {
    pub(super) async fn ask(&self, body: &'static str) -> Answer {
        let request = Request::post(&self.url).body(Body::from(body)).unwrap();
        Answer::of(self.client.request(request).await.expect("an answer")).await
    }
}
