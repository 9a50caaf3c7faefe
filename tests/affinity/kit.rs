//! A gateway without a network, and who got what.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};
use serde_json::json;
use tower::{Service, ServiceExt, service_fn};
use tower_model_route::{
    Balance, ModelRoute, ModelRouteLayer, ModelServer, RouteBody, RouteDecision, RouteTable, Rule,
    TrafficPolicy, stack,
};

/// Enough that many keys on one of them are no accident.
pub(crate) const ENDPOINTS: usize = 8;

pub(crate) fn uri(endpoint: usize) -> String {
    format!("http://engine-{endpoint}.test")
}

/// The model `asked` goes to these endpoints, where it is called `real`.
pub(crate) fn table_of(endpoints: impl IntoIterator<Item = usize>, balance: Balance) -> RouteTable {
    let policy = TrafficPolicy::new()
        .max_retries(2)
        .retry_interval(Duration::ZERO);
    RouteTable::builder()
        .model_server(
            ModelServer::new("server")
                .model("real")
                .endpoints(endpoints.into_iter().map(uri))
                .balance(balance)
                .traffic_policy(policy),
        )
        .model_route(
            ModelRoute::new("route")
                .model_name("asked")
                .rule(Rule::new("rule").target("server")),
        )
        .build()
        .unwrap()
}

pub(crate) fn table(balance: Balance) -> RouteTable {
    table_of(0..ENDPOINTS, balance)
}

type Answer = Response<Full<Bytes>>;
type Pending = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

/// The engines: each reads the whole of a request, and answers it.
#[derive(Clone, Default)]
pub(crate) struct Engines(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By the endpoint's URI.
    counts: HashMap<String, usize>,
    full: HashSet<String>,
}

impl Engines {
    /// This endpoint answers 429 from now on.
    pub(crate) fn fill(&self, endpoint: &str) {
        self.0.lock().unwrap().full.insert(endpoint.to_owned());
    }

    pub(crate) fn count(&self, endpoint: &str) -> usize {
        let state = self.0.lock().unwrap();
        state.counts.get(endpoint).copied().unwrap_or(0)
    }

    /// Counts a request to this endpoint; how it is answered.
    fn got(&self, endpoint: String) -> StatusCode {
        let mut state = self.0.lock().unwrap();
        let is_full = state.full.contains(&endpoint);
        *state.counts.entry(endpoint).or_default() += 1;
        match is_full {
            true => StatusCode::TOO_MANY_REQUESTS,
            false => StatusCode::OK,
        }
    }

    pub(crate) fn service(
        &self,
    ) -> impl Service<Request<RouteBody>, Response = Answer, Error = Infallible, Future = Pending>
    + Clone
    + Send
    + 'static {
        let engines = self.clone();
        service_fn(move |request: Request<RouteBody>| {
            let endpoint = format!("http://{}", request.uri().authority().unwrap());
            let status = engines.got(endpoint);
            Box::pin(async move {
                request.into_body().collect().await.expect("a whole body");
                // While it is not read, the request is in flight.
                let mut response = Response::new(Full::from("hello"));
                *response.status_mut() = status;
                Ok(response)
            }) as Pending
        })
    }
}

/// A gateway whose engines all answer.
#[derive(Clone)]
pub(crate) struct Gateway {
    pub(crate) layer: ModelRouteLayer,
    pub(crate) engines: Engines,
}

impl Gateway {
    pub(crate) fn new(layer: impl Into<ModelRouteLayer>) -> Self {
        Self {
            layer: layer.into(),
            engines: Engines::default(),
        }
    }

    pub(crate) fn balanced(balance: Balance) -> Self {
        Self::new(table(balance))
    }

    /// The answer: while it is held, the request is in flight.
    pub(crate) async fn send<B>(&self, request: Request<B>) -> Response<impl Body + use<B>>
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        let service = stack(self.layer.clone()).service(self.engines.service());
        let Ok(answer) = service.oneshot(request).await;
        answer
    }

    /// The endpoint whose answer the client gets.
    pub(crate) async fn ask<B>(&self, request: Request<B>) -> String
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        endpoint_of(&self.send(request).await)
    }
}

#[track_caller]
pub(crate) fn endpoint_of<B>(answer: &Response<B>) -> String {
    assert_eq!(answer.status(), StatusCode::OK);
    let decision = answer.extensions().get::<RouteDecision>();
    decision.expect("it was routed").endpoint().to_owned()
}

/// A request that names its model first.
pub(crate) fn chat(rest: &str) -> Request<Full<Bytes>> {
    post(format!(r#"{{"model":"asked",{rest}}}"#))
}

pub(crate) fn post(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .body(Full::new(body.into()))
        .unwrap()
}

/// A chat of this user, the `nth` of many: no two are the same.
pub(crate) fn of_user(user: usize, nth: usize) -> Request<Full<Bytes>> {
    post(of_user_text(user, nth))
}

/// The user stands behind the messages, in which there is another.
pub(crate) fn of_user_text(user: usize, nth: usize) -> String {
    let content = "hello ".repeat(nth + 1);
    let messages = json!([{"role": "user", "content": content, "user": nth.to_string()}]);
    format!(r#"{{"model":"asked","messages":{messages},"user":"user-{user}","n":{nth}}}"#)
}

pub(crate) fn bodiless(request: http::request::Builder) -> Request<Empty<Bytes>> {
    request.body(Empty::new()).unwrap()
}
