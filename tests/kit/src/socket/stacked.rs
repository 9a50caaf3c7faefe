//! The recommended stack in axum over some engines, and its clients.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::body::Body;
use http::Request;
use tokio::task::JoinSet;
use tower_model_route::{
    ModelServer, RouteBody, RouteTable, Rule, TrafficPolicy, engine_client, stack,
};

use super::{
    http::{HttpClient, http_client},
    server::Server,
};
use crate::{
    answer::Answer,
    table::{in_flight, table},
    time::{eventually, within},
};

/// The model `asked` goes to one ModelServer.
pub struct Stacked {
    pub table: RouteTable,
    server: Server,
}

impl Stacked {
    /// How many clients there are in [`load`](Self::load).
    pub const CLIENTS: usize = 64;

    /// The engines at these URLs.
    pub async fn over<const N: usize>(urls: [String; N], policy: TrafficPolicy) -> Self {
        let server = ModelServer::new("server")
            .endpoints(urls)
            .traffic_policy(policy);
        let table = table([server], Rule::new("rule").target("server"));
        let service = stack(table.clone()).service(http_client::<RouteBody>(false));
        let app = axum::Router::new().fallback_service(service);
        let server = Server::axum(app).await;
        Self { table, server }
    }

    /// By this table and the crate's own client.
    pub async fn by_engine_client(table: RouteTable) -> Self {
        let service = stack(table.clone()).service(engine_client());
        let app = axum::Router::new().fallback_service(service);
        let server = Server::axum(app).await;
        Self { table, server }
    }

    pub async fn ask(&self) -> Answer {
        self.say(r#"{"model":"asked"}"#).await
    }

    /// The answer to this body.
    pub async fn say(&self, body: &'static str) -> Answer {
        self.client().ask(body).await
    }

    /// What the clients get, each of which asks one thing after the other; `then` comes when a
    /// third is done.
    pub async fn load(&self, body: &'static str, then: impl Future<Output = ()>) -> Vec<Answer> {
        const EACH: usize = 20;
        let (client, done) = (self.client(), Arc::<AtomicUsize>::default());
        let mut clients = JoinSet::new();
        for _ in 0..Self::CLIENTS {
            let (client, done) = (client.clone(), Arc::clone(&done));
            clients.spawn(async move {
                let mut answers = Vec::new();
                for _ in 0..EACH {
                    answers.push(client.ask(body).await);
                    done.fetch_add(1, Ordering::SeqCst);
                }
                answers
            });
        }
        while done.load(Ordering::SeqCst) < Self::CLIENTS * EACH / 3 {
            tokio::task::yield_now().await;
        }
        then.await;
        let answers = within(clients.join_all()).await;
        let answers: Vec<_> = answers.into_iter().flatten().collect();
        assert_eq!(answers.len(), Self::CLIENTS * EACH);
        self.is_idle().await;
        answers
    }

    /// Waits until nothing is in flight any more.
    pub async fn is_idle(&self) {
        eventually(|| in_flight(&self.table) == 0).await;
    }

    fn client(&self) -> StackedClient {
        StackedClient {
            client: http_client(false),
            url: format!("{}/v1/chat/completions", self.server.url()),
        }
    }
}

#[derive(Clone)]
struct StackedClient {
    client: HttpClient<Body>,
    url: String,
}

impl StackedClient {
    async fn ask(&self, body: &'static str) -> Answer {
        let request = Request::post(&self.url).body(Body::from(body)).unwrap();
        Answer::of(self.client.request(request).await.expect("an answer")).await
    }
}
