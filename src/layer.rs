//! The layer and its settings.

use std::{sync::Arc, time::Duration};

use tower_layer::Layer;

use crate::{
    model::{ExtractModel, JsonBody},
    route::RouteTable,
    service::ModelRouteService,
};

/// Routes inference requests by the model that they name.
///
/// Below it stands the caller's HTTP client, or any service that takes a
/// `Request<RouteBody>`; above it any server. What it can't route it answers
/// itself, so its error is the inner service's and nothing else.
///
/// It is always ready: the inner service is driven to readiness only once the
/// request's body is in, so that a slow upload holds no permit. A limit that
/// protects the engines therefore belongs below this layer, a (global) limit
/// on the memory of buffered bodies above it.
#[derive(Clone, Debug)]
#[must_use]
pub struct ModelRouteLayer {
    config: Config,
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) table: RouteTable,
    pub(crate) extract: Arc<dyn ExtractModel>,
    pub(crate) max_body_bytes: usize,
    pub(crate) body_timeout: Duration,
    pub(crate) models_endpoint: bool,
    pub(crate) without_model: WithoutModel,
}

/// What happens to requests that name no model, such as `GET /health`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WithoutModel {
    /// They are answered with 404 and the code `route_not_found`.
    #[default]
    Reject,
    /// They go to the inner service as they are: the URI, the headers and the
    /// body, which is streamed.
    Forward,
}

impl ModelRouteLayer {
    /// Routes by `table`, with the default settings.
    pub fn new(table: RouteTable) -> Self {
        Self {
            config: Config {
                table,
                extract: Arc::new(JsonBody),
                max_body_bytes: 32 << 20,
                body_timeout: Duration::from_secs(60),
                models_endpoint: true,
                without_model: WithoutModel::default(),
            },
        }
    }

    /// The largest body in bytes, 32 MiB by default; a larger one is answered with 413.
    ///
    /// Where the client announces the length, it is answered before anything
    /// of the body is read, and before a `100 Continue`.
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.config.max_body_bytes = bytes;
        self
    }

    /// The longest time for receiving a body, 60 s by default; a slower one is answered with 408.
    ///
    /// It needs a tokio runtime with timers; [`Duration::MAX`] turns it off.
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.config.body_timeout = timeout;
        self
    }

    /// How the model is read out of a request; by default [`JsonBody`].
    pub fn extract_model(mut self, extract: impl ExtractModel) -> Self {
        self.config.extract = Arc::new(extract);
        self
    }

    /// Whether `GET /v1/models` and `GET /v1/models/{id}` are answered from the table; on by default.
    pub fn models_endpoint(mut self, on: bool) -> Self {
        self.config.models_endpoint = on;
        self
    }

    /// What happens to requests that name no model; by default they are rejected.
    pub fn without_model(mut self, what: WithoutModel) -> Self {
        self.config.without_model = what;
        self
    }
}

impl<S> Layer<S> for ModelRouteLayer {
    type Service = ModelRouteService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ModelRouteService::new(inner, Arc::new(self.config.clone()))
    }
}
