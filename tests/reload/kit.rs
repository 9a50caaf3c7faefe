//! Tables and engines for these tests.

use std::{
    collections::HashMap,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
};

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use tokio::sync::Semaphore;
use tower::{Service, service_fn};
use tower_model_route::{
    EndpointSnapshot, ModelRoute, ModelServer, RouteBody, RouteTable, RouteTableHandle, Rule,
    TargetModel,
};

pub(crate) type Answer = Response<Full<Bytes>>;
type Pending = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

/// Answers for every endpoint; what is asked for is counted by authority.
#[derive(Clone, Default)]
pub(crate) struct Engines {
    counts: Arc<Mutex<HashMap<String, u64>>>,
    statuses: Arc<Mutex<HashMap<String, StatusCode>>>,
    held: Arc<Mutex<Option<Arc<Semaphore>>>>,
}

impl Engines {
    pub(crate) fn count(&self, authority: &str) -> u64 {
        let counts = self.counts.lock().unwrap();
        counts.get(authority).copied().unwrap_or(0)
    }

    pub(crate) fn answer(&self, authority: &str, status: StatusCode) {
        let mut statuses = self.statuses.lock().unwrap();
        statuses.insert(authority.to_owned(), status);
    }

    /// From now on no request is answered before the semaphore lets it through.
    pub(crate) fn hold(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.held.lock().unwrap() = Some(Arc::clone(&gate));
        gate
    }

    pub(crate) fn service(
        &self,
    ) -> impl Service<
        Request<RouteBody>,
        Response = Answer,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static {
        let engines = self.clone();
        service_fn(move |request: Request<RouteBody>| {
            let authority = request.uri().authority().unwrap().to_string();
            *engines
                .counts
                .lock()
                .unwrap()
                .entry(authority.clone())
                .or_default() += 1;
            let status = engines.statuses.lock().unwrap().get(&authority).copied();
            let gate = engines.held.lock().unwrap().clone();
            Box::pin(async move {
                if let Some(gate) = gate {
                    gate.acquire().await.unwrap().forget();
                }
                let mut response = Response::new(Full::from(authority));
                *response.status_mut() = status.unwrap_or(StatusCode::OK);
                Ok(response)
            }) as Pending
        })
    }
}

/// A server of these endpoints, and a route `model` to it alone.
pub(crate) fn single(server: ModelServer) -> RouteTable {
    RouteTable::builder()
        .model_server(server)
        .model_route(
            ModelRoute::new("route")
                .model_name("model")
                .rule(Rule::new("rule").target("server")),
        )
        .build()
        .unwrap()
}

pub(crate) fn server<const N: usize>(endpoints: [&str; N]) -> ModelServer {
    ModelServer::new("server").endpoints(endpoints)
}

/// 70 to 30 over `http://a` and `http://b`.
pub(crate) fn split(a: u32, b: u32) -> RouteTable {
    RouteTable::builder()
        .model_server(ModelServer::new("a").endpoint("http://a"))
        .model_server(ModelServer::new("b").endpoint("http://b"))
        .model_route(
            ModelRoute::new("route").model_name("model").rule(
                Rule::new("rule")
                    .target(TargetModel::new("a").weight(a))
                    .target(TargetModel::new("b").weight(b)),
            ),
        )
        .build()
        .unwrap()
}

pub(crate) fn ask() -> Request<Full<Bytes>> {
    Request::post("/v1/chat/completions")
        .body(Full::from(r#"{"model":"model"}"#))
        .unwrap()
}

pub(crate) fn endpoint(handle: &RouteTableHandle, uri: &str) -> EndpointSnapshot {
    let servers = handle.table().servers();
    let mut all = servers.iter().flat_map(|server| server.endpoints());
    all.find(|endpoint| endpoint.uri() == uri).unwrap().clone()
}
