//! A gateway over scripted engines: what each attempt meets, and what each has brought there.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    error::Error,
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::{Request, Response, StatusCode, request::Parts};
use http_body_util::BodyExt;
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_model_route::{
    EndpointSnapshot, ModelRoute, ModelRouteLayer, ModelServer, OutlierDetection, RouteBody,
    RouteDecision, RouteTable, Rule, TrafficPolicy, stack,
};

use crate::script::{Scripted, script};

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;
pub(crate) type Gateway = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// A body that [`one_server`] routes, and what its engines get for it.
pub(crate) const ASKED: &str = r#"{"model":"asked","messages":[]}"#;
pub(crate) const REWRITTEN: &str = r#"{"model":"real","messages":[]}"#;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What an engine does with a request.
pub(crate) enum Act {
    Answer(Response<Scripted>),
    Fail(BoxError),
    /// It takes the request and never answers.
    Hang,
    /// It does not even read the request.
    Unread(Box<Act>),
    /// It reads what of the request is there.
    Glance(Box<Act>),
    Late(Duration, Box<Act>),
}

impl Act {
    pub(crate) fn late(self, by: Duration) -> Self {
        Self::Late(by, Box::new(self))
    }

    pub(crate) fn unread(self) -> Self {
        Self::Unread(Box::new(self))
    }

    pub(crate) fn at_a_glance(self) -> Self {
        Self::Glance(Box::new(self))
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Answer(answer) = &mut self {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        self
    }
}

/// An answer whose body is this text.
pub(crate) fn says(status: u16, text: &str) -> Act {
    let (script, body) = script();
    script
        .data(Bytes::copy_from_slice(text.as_bytes()))
        .end_known();
    answers(status, body)
}

pub(crate) fn answers(status: u16, body: Scripted) -> Act {
    Act::Answer(Response::builder().status(status).body(body).unwrap())
}

pub(crate) fn status(status: u16) -> Act {
    says(status, &status.to_string())
}

pub(crate) fn fails() -> Act {
    Act::Fail(io::Error::from(io::ErrorKind::ConnectionRefused).into())
}

pub(crate) fn times_out() -> Act {
    Act::Fail(io::Error::from(io::ErrorKind::TimedOut).into())
}

/// An attempt, as its engine has seen it.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) head: Parts,
    pub(crate) body: Result<Bytes, String>,
    pub(crate) at: Instant,
    decision: Option<RouteDecision>,
}

impl Attempt {
    pub(crate) fn host(&self) -> &str {
        self.header("host").unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        Some(self.head.headers.get(name)?.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.body.as_ref().unwrap()).unwrap()
    }

    pub(crate) fn decision(&self) -> &RouteDecision {
        self.decision.as_ref().unwrap()
    }
}

/// The engines: all hosts there are, each of which does what it is told to.
#[derive(Clone, Default)]
pub(crate) struct Engines(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What the next attempts meet, wherever they go.
    next: VecDeque<Act>,
    /// What the next attempts at a host meet.
    at: HashMap<String, VecDeque<Act>>,
    /// What all others at a host meet; else they get a 200.
    always: HashMap<String, fn() -> Act>,
    everywhere: Option<fn() -> Act>,
    attempts: Vec<Attempt>,
    under_way: usize,
}

impl Engines {
    /// What the next attempts meet, wherever they go.
    pub(crate) fn next(&self, acts: impl IntoIterator<Item = Act>) {
        self.lock().next.extend(acts);
    }

    /// What the next attempts at `host` meet.
    pub(crate) fn at(&self, host: &str, acts: impl IntoIterator<Item = Act>) {
        self.lock()
            .at
            .entry(host.to_owned())
            .or_default()
            .extend(acts);
    }

    /// What every attempt at `host` meets.
    pub(crate) fn always(&self, host: &str, act: fn() -> Act) {
        self.lock().always.insert(host.to_owned(), act);
    }

    pub(crate) fn everywhere(&self, act: fn() -> Act) {
        self.lock().everywhere = Some(act);
    }

    /// The attempts since this was asked last.
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        std::mem::take(&mut self.lock().attempts)
    }

    /// The hosts of these attempts.
    pub(crate) fn hosts(&self) -> Vec<String> {
        self.attempts()
            .iter()
            .map(|attempt| attempt.host().to_owned())
            .collect()
    }

    /// How many calls have begun that have neither ended nor been dropped.
    pub(crate) fn under_way(&self) -> usize {
        self.lock().under_way
    }

    pub(crate) async fn serve(
        self,
        request: Request<RouteBody>,
    ) -> Result<Response<Scripted>, BoxError> {
        let _under_way = UnderWay::new(&self);
        let at = Instant::now();
        let (head, mut body) = request.into_parts();
        let decision = body.decision();
        let mut act = self.act(head.headers["host"].to_str().unwrap());
        let body = match act {
            Act::Unread(then) => {
                act = *then;
                Ok(Bytes::new())
            }
            Act::Glance(then) => {
                act = *then;
                let mut read = BytesMut::new();
                while let Some(Some(Ok(frame))) = body.frame().now_or_never() {
                    read.extend(frame.into_data());
                }
                Ok(read.freeze())
            }
            _ => {
                let read = body.collect().await.map(|body| body.to_bytes());
                read.map_err(|error| error.to_string())
            }
        };
        let failure = body.as_ref().err().cloned();
        self.lock().attempts.push(Attempt {
            head,
            body,
            at,
            decision,
        });
        if let Some(failure) = failure {
            return Err(failure.into());
        }
        loop {
            act = match act {
                Act::Answer(answer) => return Ok(answer),
                Act::Fail(error) => return Err(error),
                Act::Hang => std::future::pending().await,
                Act::Unread(then) | Act::Glance(then) => *then,
                Act::Late(by, then) => {
                    tokio::time::sleep(by).await;
                    *then
                }
            }
        }
    }

    fn act(&self, host: &str) -> Act {
        let mut state = self.lock();
        if let Some(act) = state.at.get_mut(host).and_then(VecDeque::pop_front) {
            return act;
        }
        if let Some(act) = state.next.pop_front() {
            return act;
        }
        match state.always.get(host).or(state.everywhere.as_ref()) {
            Some(act) => act(),
            None => says(200, "ok"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

struct UnderWay(Engines);

impl UnderWay {
    fn new(engines: &Engines) -> Self {
        engines.lock().under_way += 1;
        Self(engines.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.lock().under_way -= 1;
    }
}

/// A gateway, its table and its engines.
pub(crate) struct Rig {
    pub(crate) table: RouteTable,
    pub(crate) engines: Engines,
    pub(crate) gateway: Gateway,
}

impl Rig {
    /// The recommended stack over the engines.
    pub(crate) fn new(table: RouteTable) -> Self {
        Self::with(table, ModelRouteLayer::new)
    }

    /// With settings of the layer.
    pub(crate) fn with(
        table: RouteTable,
        layer: impl FnOnce(RouteTable) -> ModelRouteLayer,
    ) -> Self {
        let engines = Engines::default();
        let serve = engines.clone();
        let client = service_fn(move |request| serve.clone().serve(request));
        let service = stack(layer(table.clone())).service(client);
        Self {
            table,
            engines,
            gateway: gateway(service),
        }
    }

    /// [`one_server`] with so many endpoints and this policy.
    pub(crate) fn one(endpoints: usize, policy: TrafficPolicy) -> Self {
        Self::new(one_server(endpoints, policy))
    }

    /// The answer to a request for the model `asked`, as far as its head.
    pub(crate) async fn answer(&self) -> Response<Body> {
        self.send(asked()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Body> {
        let Ok(answer) = within(self.gateway.clone().oneshot(request)).await;
        answer
    }

    /// A request for the model `asked` from beginning to end.
    pub(crate) async fn ask(&self) -> Answer {
        Answer::of(self.answer().await).await
    }

    /// Asks, for a while, until `host` has been ejected.
    pub(crate) async fn eject(&self, host: &str) {
        for _ in 0..1000 {
            if self.endpoint(host).ejections() > 0 {
                return;
            }
            self.ask().await;
        }
        panic!("{host} is not ejected");
    }

    /// A request that goes on by itself.
    pub(crate) fn spawn(&self) -> tokio::task::JoinHandle<Answer> {
        let gateway = self.gateway.clone();
        tokio::spawn(async move {
            let Ok(answer) = gateway.oneshot(asked()).await;
            Answer::of(answer).await
        })
    }

    pub(crate) fn in_flight(&self) -> usize {
        let servers = self.table.servers();
        servers.iter().map(|server| server.in_flight()).sum()
    }

    pub(crate) fn endpoint(&self, host: &str) -> EndpointSnapshot {
        let uri = format!("http://{host}");
        let servers = self.table.servers();
        let mut endpoints = servers.iter().flat_map(|server| server.endpoints());
        endpoints
            .find(|endpoint| endpoint.uri() == uri)
            .unwrap()
            .clone()
    }
}

/// Any service of the kind, as one type.
pub(crate) fn gateway<S, R>(service: S) -> Gateway
where
    S: tower::Service<Request<Body>, Response = Response<R>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let boxed = service.map_response(|answer: Response<R>| answer.map(Body::new));
    BoxCloneSyncService::new(boxed)
}

/// A service over the engines for a layer of one's own.
pub(crate) fn over<L, S, R>(engines: &Engines, layer: L) -> Gateway
where
    L: Layer<EngineService, Service = S>,
    S: tower::Service<Request<Body>, Response = Response<R>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    gateway(layer.layer(engine_service(engines)))
}

pub(crate) fn engine_service(engines: &Engines) -> EngineService {
    EngineService(engines.clone())
}

/// The engines as a service with a name.
#[derive(Clone)]
pub(crate) struct EngineService(Engines);

impl tower::Service<Request<RouteBody>> for EngineService {
    type Response = Response<Scripted>;
    type Error = BoxError;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Response<Scripted>, BoxError>> + Send>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RouteBody>) -> Self::Future {
        Box::pin(self.0.clone().serve(request))
    }
}

/// An answer that has come to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: http::response::Parts,
    pub(crate) body: Result<Bytes, String>,
}

impl Answer {
    pub(crate) async fn of(answer: Response<Body>) -> Self {
        let (head, body) = answer.into_parts();
        let body = within(body.collect()).await.map(|body| body.to_bytes());
        let body = body.map_err(|error| error.to_string());
        Self { head, body }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.head.status
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.body.as_ref().unwrap()).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        Some(self.head.headers.get(name)?.to_str().unwrap())
    }

    pub(crate) fn decision(&self) -> &RouteDecision {
        self.head.extensions.get().unwrap()
    }

    /// The code of an error of our own.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        let json: serde_json::Value = serde_json::from_str(self.text()).unwrap();
        json["error"]["code"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn asked() -> Request<Body> {
    chat(ASKED)
}

pub(crate) fn chat(body: impl Into<Body>) -> Request<Body> {
    Request::post("/v1/chat/completions")
        .body(body.into())
        .unwrap()
}

/// A policy of retries that follow at once, so that the clock tells of nothing else.
pub(crate) fn retries(n: u32) -> TrafficPolicy {
    TrafficPolicy::new()
        .max_retries(n)
        .retry_interval(Duration::ZERO)
        .outlier_detection(OutlierDetection::off())
}

/// The server `server` with the endpoints `e0`, `e1` and so on.
pub(crate) fn server(endpoints: usize, policy: TrafficPolicy) -> ModelServer {
    ModelServer::new("server")
        .model("real")
        .endpoints((0..endpoints).map(|n| format!("http://e{n}")))
        .traffic_policy(policy)
}

/// The model `asked` goes to one server, whose engines call it `real`.
pub(crate) fn one_server(endpoints: usize, policy: TrafficPolicy) -> RouteTable {
    table(
        [server(endpoints, policy)],
        Rule::new("rule").target("server"),
    )
}

/// The model `asked` goes by `rule`.
pub(crate) fn table(servers: impl IntoIterator<Item = ModelServer>, rule: Rule) -> RouteTable {
    builder(servers, rule).build().unwrap()
}

pub(crate) fn builder(
    servers: impl IntoIterator<Item = ModelServer>,
    rule: Rule,
) -> tower_model_route::RouteTableBuilder {
    servers
        .into_iter()
        .fold(RouteTable::builder(), |builder, server| {
            builder.model_server(server)
        })
        .model_route(
            ModelRoute::new("route")
                .model_name("asked")
                .lora_adapter("lora")
                .rule(rule),
        )
}

/// The server `name` with the one endpoint `http://name`, which calls the model `name-model`.
pub(crate) fn single(name: &str, policy: TrafficPolicy) -> ModelServer {
    ModelServer::new(name)
        .model(format!("{name}-model"))
        .endpoint(format!("http://{name}"))
        .traffic_policy(policy)
}

/// Lets everything go on that can without the clock.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// `future`, or a panic instead of a hang; with the clock paused that costs no time.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    match tokio::time::timeout(Duration::from_secs(100_000), future).await {
        Ok(output) => output,
        Err(_) => panic!("nothing happened for a day"),
    }
}
