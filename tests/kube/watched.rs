//! A gateway that watches.

use std::{collections::BTreeSet, time::Duration};

use axum::body::Body;
use http::{Request, StatusCode};
use test_kit::{answer::Answer, gateway::Gateway, kube::Namespace, time::within};
use tokio::time::sleep;
use tower::ServiceExt;
use tower_model_route::{
    RouteTable, RouteTableHandle, engine_client,
    kube::{Watch, WatchHandle},
    stack,
};

pub(crate) struct Watched {
    pub(crate) table: RouteTableHandle,
    pub(crate) watch: WatchHandle,
    pub(crate) gateway: Gateway,
}

impl Watched {
    /// By the objects of a namespace, once the first lists are in.
    pub(crate) async fn of(space: &Namespace) -> Self {
        Self::by(Watch::new(space.client()).namespaces([&space.name])).await
    }

    pub(crate) async fn by(watch: Watch) -> Self {
        let watched = Self::start(watch);
        within(watched.watch.ready()).await;
        watched
    }

    pub(crate) fn start(watch: Watch) -> Self {
        let table = RouteTableHandle::new(RouteTable::builder().build().unwrap());
        let watch = watch.start(&table).unwrap();
        let gateway = Gateway::new(stack(table.clone()).service(engine_client()));
        Self {
            table,
            watch,
            gateway,
        }
    }

    /// The answer to a request for a model.
    pub(crate) async fn ask(&self, model: &str) -> Answer {
        let body = serde_json::json!({"model": model}).to_string();
        let request = Request::post("/v1/chat/completions").body(Body::from(body));
        let Ok(answer) = within(self.gateway.clone().oneshot(request.unwrap())).await;
        Answer::of(answer).await
    }

    /// Waits until the model is answered by one of these, and no other.
    pub(crate) async fn answered_by(&self, model: &str, engines: &[&str]) {
        let expected: BTreeSet<_> = engines.iter().map(|&engine| engine.to_owned()).collect();
        let mut seen = BTreeSet::new();
        for _ in 0..2000 {
            seen = BTreeSet::new();
            for _ in 0..2 * engines.len() {
                let answer = self.ask(model).await;
                seen.insert(match answer.status() {
                    StatusCode::OK => answer.text().to_owned(),
                    status => status.to_string(),
                });
            }
            if seen == expected {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{model} is answered by {seen:?} instead of {engines:?}");
    }

    /// Waits until the model is answered with this status.
    pub(crate) async fn refused(&self, model: &str, status: u16) {
        within(async {
            while self.ask(model).await.status() != status {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// The endpoints of a ModelServer, which is named with its namespace.
    pub(crate) fn endpoints(&self, server: &str) -> BTreeSet<String> {
        let servers = self.table.table().servers();
        let server = servers.iter().find(|it| it.name() == server);
        let endpoints = server.iter().flat_map(|server| server.endpoints());
        endpoints.map(|it| it.uri().to_owned()).collect()
    }

    /// Waits until it has these.
    pub(crate) async fn has(&self, server: &str, endpoints: &[&str]) {
        let expected: BTreeSet<_> = endpoints.iter().map(|&uri| uri.to_owned()).collect();
        for _ in 0..2000 {
            if self.endpoints(server) == expected {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        let there = self.endpoints(server);
        panic!("{server} has {there:?} instead of {endpoints:?}");
    }

    /// What is wrong, if anything is.
    pub(crate) fn error(&self) -> String {
        let error = self.table.last_error();
        error.map_or_else(String::new, |error| error.to_string())
    }

    /// Waits until that contains a text.
    pub(crate) async fn complains(&self, of: &str) {
        within(async {
            while !self.error().contains(of) {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// Waits until nothing is wrong.
    pub(crate) async fn is_content(&self) {
        within(async {
            while self.table.last_error().is_some() {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}
