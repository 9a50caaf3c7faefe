//! A gateway without a network: what each attempt meets, and what the client gets.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use tokio::task::JoinHandle;
use tower::{Layer, Service, ServiceExt, util::BoxCloneSyncService};
use tower_model_route::{EndpointSnapshot, ModelRouteLayer, RouteTable, TrafficPolicy, stack};

use crate::{
    answer::Answer,
    body::BoxError,
    engines::{EngineService, Engines},
    paused::within,
    request::asked,
    table,
};

type Boxed = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Any service that can be mounted, as one type.
#[derive(Clone)]
pub struct Gateway(Boxed);

impl Gateway {
    pub fn new<S, R>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<R>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
        R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let boxed = service.map_response(|answer: Response<R>| answer.map(Body::new));
        Self(BoxCloneSyncService::new(boxed))
    }

    /// The engines below a layer of the test's own.
    pub fn over<L, S, R>(engines: &Engines, layer: L) -> Self
    where
        L: Layer<EngineService, Service = S>,
        S: Service<Request<Body>, Response = Response<R>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
        R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        Self::new(layer.layer(engines.service()))
    }
}

impl<B> Service<Request<B>> for Gateway
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <Boxed as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.0.call(request.map(Body::new))
    }
}

/// A gateway, its table and its engines.
pub struct Rig {
    pub table: RouteTable,
    pub engines: Engines,
    pub gateway: Gateway,
}

impl Rig {
    /// The recommended stack over the engines.
    pub fn new(table: RouteTable) -> Self {
        Self::with(table, ModelRouteLayer::new)
    }

    /// With options of the layer.
    pub fn with(table: RouteTable, layer: impl FnOnce(RouteTable) -> ModelRouteLayer) -> Self {
        let engines = Engines::default();
        let service = stack(layer(table.clone())).service(engines.service());
        Self {
            table,
            engines,
            gateway: Gateway::new(service),
        }
    }

    /// [`table::one_server`] with so many endpoints and this policy.
    pub fn one(endpoints: usize, policy: TrafficPolicy) -> Self {
        Self::new(table::one_server(endpoints, policy))
    }

    /// The answer to a request for the model `asked`, as far as its head.
    pub async fn answer(&self) -> Response<Body> {
        self.send(asked()).await
    }

    pub async fn send<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let Ok(answer) = within(self.gateway.clone().oneshot(request)).await;
        answer
    }

    /// A request for the model `asked` from beginning to end.
    pub async fn ask(&self) -> Answer {
        Answer::of(self.answer().await).await
    }

    /// Asks, for a while, until `host` has been ejected.
    pub async fn eject(&self, host: &str) {
        for _ in 0..1000 {
            if self.endpoint(host).ejections() > 0 {
                return;
            }
            self.ask().await;
        }
        panic!("{host} is not ejected");
    }

    /// A request for the model `asked` that goes on by itself.
    pub fn spawn(&self) -> JoinHandle<Answer> {
        self.start(asked())
    }

    /// A request that goes on by itself.
    pub fn start<B>(&self, request: Request<B>) -> JoinHandle<Answer>
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let gateway = self.gateway.clone();
        tokio::spawn(async move {
            let Ok(answer) = gateway.oneshot(request).await;
            Answer::of(answer).await
        })
    }

    pub fn in_flight(&self) -> usize {
        table::in_flight(&self.table)
    }

    pub fn endpoint(&self, host: &str) -> EndpointSnapshot {
        table::endpoint(&self.table, &format!("http://{host}"))
    }
}
