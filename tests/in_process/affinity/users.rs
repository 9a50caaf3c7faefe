//! Users and their requests, and the endpoint that each gets.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{Empty, Full};
use serde_json::json;
use test_kit::{engines::Engines, request::chat_of};
use tower::ServiceExt;
use tower_model_route::{
    Balance, ModelRouteLayer, ModelServer, RouteDecision, RouteTable, Rule, TrafficPolicy, stack,
};

/// Enough that many keys on one of them are no accident.
pub(super) const ENDPOINTS: usize = 8;

pub(super) fn uri(endpoint: usize) -> String {
    format!("http://engine-{endpoint}.test")
}

/// The model `asked` goes to these endpoints, where it is called `real`.
pub(super) fn table_of(endpoints: impl IntoIterator<Item = usize>, balance: Balance) -> RouteTable {
    let policy = TrafficPolicy::new()
        .max_retries(2)
        .retry_interval(Duration::ZERO);
    let server = ModelServer::new("server")
        .model("real")
        .endpoints(endpoints.into_iter().map(uri))
        .balance(balance)
        .traffic_policy(policy);
    test_kit::table::table([server], Rule::new("rule").target("server"))
}

pub(super) fn table(balance: Balance) -> RouteTable {
    table_of(0..ENDPOINTS, balance)
}

/// A gateway whose engines all answer.
#[derive(Clone)]
pub(super) struct Gateway {
    pub(super) layer: ModelRouteLayer,
    pub(super) engines: Engines,
}

impl Gateway {
    pub(super) fn new(layer: impl Into<ModelRouteLayer>) -> Self {
        Self {
            layer: layer.into(),
            engines: Engines::default(),
        }
    }

    pub(super) fn balanced(balance: Balance) -> Self {
        Self::new(table(balance))
    }

    /// The answer: while it is held, the request is in flight.
    pub(super) async fn send<B>(&self, request: Request<B>) -> Response<impl Body + use<B>>
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        let service = stack(self.layer.clone()).service(self.engines.service());
        let Ok(answer) = service.oneshot(request).await;
        answer
    }

    /// The endpoint whose answer the client gets.
    pub(super) async fn ask<B>(&self, request: Request<B>) -> String
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        endpoint_of(&self.send(request).await)
    }
}

#[track_caller]
pub(super) fn endpoint_of<B>(answer: &Response<B>) -> String {
    assert_eq!(answer.status(), StatusCode::OK);
    let decision = answer.extensions().get::<RouteDecision>();
    decision.expect("it was routed").endpoint().to_owned()
}

/// A request that names its model first.
pub(super) fn chat(rest: &str) -> Request<Full<Bytes>> {
    post(format!(r#"{{"model":"asked",{rest}}}"#))
}

/// One that says that it is JSON.
pub(super) fn post(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = chat_of(body);
    let json = "application/json".parse().unwrap();
    request.headers_mut().insert("content-type", json);
    request
}

/// A chat of this user, the `nth` of many: no two are the same.
pub(super) fn of_user(user: usize, nth: usize) -> Request<Full<Bytes>> {
    post(of_user_text(user, nth))
}

/// The user stands behind the messages, in which there is another.
pub(super) fn of_user_text(user: usize, nth: usize) -> String {
    let content = "hello ".repeat(nth + 1);
    let messages = json!([{"role": "user", "content": content, "user": nth.to_string()}]);
    format!(r#"{{"model":"asked","messages":{messages},"user":"user-{user}","n":{nth}}}"#)
}

pub(super) fn bodiless(request: http::request::Builder) -> Request<Empty<Bytes>> {
    request.body(Empty::new()).unwrap()
}
