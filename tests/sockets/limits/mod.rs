//! Limits on tokens and requests, over real sockets and with a real Redis.

mod buckets;
mod in_redis;
mod on_sockets;
mod redis_fails;
mod sessions_shared;
mod store;
mod usage_is_forced;
mod with_kthena;

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use test_kit::{
    answer::Answer,
    redis::Redis,
    socket::{HttpClient, Reply, Server, Upstream, http_client},
    time::within,
};
use tokio::task::JoinSet;
use tower_model_route::{
    LimitStore, ModelRoute, ModelRouteLayer, ModelServer, RateLimit, RouteBody, RouteTable, Rule,
    stack,
};

/// A route for `asked` to `engine`, with these limits.
fn table(engine: &str, limits: impl IntoIterator<Item = RateLimit>) -> RouteTable {
    table_of(ModelServer::new("server").endpoint(engine), limits)
}

/// The same for this ModelServer, whose name is `server`.
fn table_of(server: ModelServer, limits: impl IntoIterator<Item = RateLimit>) -> RouteTable {
    let route = ModelRoute::new("route")
        .model_name("asked")
        .lora_adapter("lora")
        .rule(Rule::new("rule").target("server"));
    RouteTable::builder()
        .model_server(server)
        .model_route(limits.into_iter().fold(route, ModelRoute::rate_limit))
        .build()
        .unwrap()
}

/// A gateway in axum, and its client.
struct Gateway {
    table: RouteTable,
    server: Server,
    client: HttpClient<Body>,
}

impl Gateway {
    async fn new(table: RouteTable) -> Self {
        Self::with(table, |layer| layer).await
    }

    async fn storing(table: RouteTable, store: impl LimitStore) -> Self {
        Self::with(table, |layer| layer.limit_store(Arc::new(store))).await
    }

    async fn with(
        table: RouteTable,
        options: impl FnOnce(ModelRouteLayer) -> ModelRouteLayer,
    ) -> Self {
        let layer = options(ModelRouteLayer::new(table.clone()));
        let service = stack(layer).service(http_client::<RouteBody>(false));
        Self {
            table,
            server: Server::axum(axum::Router::new().fallback_service(service)).await,
            client: http_client(false),
        }
    }

    fn request(&self, path: &str, body: &Value) -> Request<Body> {
        Request::post(format!("{}{path}", self.server.url()))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        let answer = within(self.client.request(self.request(path, body))).await;
        Answer::of(answer.expect("an answer")).await
    }

    /// A chat that lets ten tokens be generated.
    async fn chat(&self) -> Answer {
        self.post("/v1/chat/completions", &chat()).await
    }

    /// The statuses of such a chat, again and again after a 503: on a starved machine Redis may not
    /// answer in 50 ms.
    async fn chat_stored(&self) -> Vec<u16> {
        let mut statuses = Vec::new();
        loop {
            let status = self.chat().await.status().as_u16();
            statuses.push(status);
            if status != 503 {
                return statuses;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks until it goes by Redis, which has its tokens there.
    async fn until_stored(&self, redis: &Redis) {
        let keys = async || redis.ask(&["KEYS", "*"]).await.len();
        within(async {
            while keys().await == 0 {
                self.chat().await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// What is left of the limits.
    fn left(&self) -> Vec<i64> {
        let (head, ()) = Request::post("/v1/chat/completions")
            .body(())
            .unwrap()
            .into_parts();
        let explained = self.table.explain(&head, "asked");
        explained
            .limits()
            .iter()
            .map(|limit| limit.left().unwrap())
            .collect()
    }
}

fn chat() -> Value {
    json!({"model": "asked", "max_tokens": 10, "messages": []})
}

/// An engine whose answers have used 7 input and 5 output tokens.
async fn engine() -> Upstream {
    Upstream::start(|_| {
        let body = json!({"choices": [{"index": 0, "finish_reason": "stop",
            "message": {"content": "text"}}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}});
        json_reply(&body)
    })
    .await
}

fn json_reply(body: &Value) -> Reply {
    let body = body.to_string();
    let length = body.len();
    Reply::new(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    ))
}

/// The statuses that 64 clients get, each of which asks so often, of one gateway and of the next, and
/// again after a 503.
async fn load(gateways: &[Arc<Gateway>], each: usize) -> Vec<u16> {
    let mut clients = JoinSet::new();
    for client in 0..64 {
        let gateways = gateways.to_vec();
        clients.spawn(async move {
            let mut statuses = Vec::new();
            for turn in 0..each {
                let gateway = &gateways[(client + turn) % gateways.len()];
                statuses.extend(gateway.chat_stored().await);
            }
            statuses
        });
    }
    let statuses = within(clients.join_all()).await;
    statuses.into_iter().flatten().collect()
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|&&found| found == status).count()
}
