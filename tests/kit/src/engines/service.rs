//! The engines as a service, in place of an HTTP client.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower::Service;
use tower_model_route::RouteBody;

use super::Engines;
use crate::body::{BoxError, Scripted};

#[derive(Clone)]
pub struct EngineService(Engines);

impl EngineService {
    pub(super) fn new(engines: Engines) -> Self {
        Self(engines)
    }
}

impl Service<Request<RouteBody>> for EngineService {
    type Response = Response<Scripted>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Scripted>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RouteBody>) -> Self::Future {
        Box::pin(self.0.clone().serve(request))
    }
}
