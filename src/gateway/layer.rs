//! The layer and its builder.

use std::{sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{
    options::{Options, WithoutModel},
    service::ModelRouteService,
};
use crate::{
    model::{ExtractModel, ModelSources},
    route::{RouteTable, RouteTableHandle},
};

/// Routes inference requests by the model named in the request.
///
/// It wraps your HTTP client, or any service that takes a
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
    options: Options,
}

impl ModelRouteLayer {
    /// Routes by `table`, with the default settings.
    ///
    /// It is a [`RouteTable`], or a [`RouteTableHandle`] by
    /// which the table can be replaced while requests are under way.
    pub fn new(table: impl Into<RouteTableHandle>) -> Self {
        Self {
            options: Options {
                table: table.into(),
                extract: Arc::new(ModelSources::standard()),
                max_body_bytes: 256 << 20,
                max_buffer_bytes: 32 << 20,
                replay_bytes: 1 << 20,
                body_timeout: Duration::from_secs(60),
                recompress: false,
                models_endpoint: true,
                without_model: WithoutModel::default(),
            },
        }
    }

    /// The largest body in bytes, 256 MiB by default; a larger one is answered with 413.
    ///
    /// Where the client announces the length, it is answered before anything
    /// of the body is read, and before a `100 Continue`. The default is this
    /// large because a body is not held in memory but forwarded as it arrives;
    /// see [`max_buffer_bytes`](Self::max_buffer_bytes) for what is.
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.options.max_body_bytes = bytes as u64;
        self
    }

    /// The most bytes of a body buffered while its model is not known, 32 MiB by
    /// default; a body that has not named it by then is answered with 413.
    pub fn max_buffer_bytes(mut self, bytes: usize) -> Self {
        self.options.max_buffer_bytes = bytes as u64;
        self
    }

    /// The most bytes of a body kept for a retry, 1 MiB by default.
    ///
    /// A larger body is sent once: [`RouteBody::is_replayable`](crate::RouteBody::is_replayable)
    /// says so to a retry policy. It also bounds the memory of an upload that
    /// is forwarded as it arrives; while no clone of it waits to be sent, an
    /// upload takes no more than the chunks that are under way.
    pub fn replay_bytes(mut self, bytes: usize) -> Self {
        self.options.replay_bytes = bytes as u64;
        self
    }

    /// Maximum time spent waiting for the client while it sends the body, 60 s by
    /// default; a slower one is answered with 408.
    ///
    /// Waits for the engine do not count. It needs a tokio runtime with timers; [`Duration::MAX`] turns it off.
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.options.body_timeout = timeout;
        self
    }

    /// Whether a compressed body whose model was rewritten is compressed again;
    /// by default it is forwarded as it is without its Content-Encoding.
    ///
    /// Compressed bodies (gzip, deflate, br, zstd) need the feature
    /// `decompression`; without it they are answered with 415. They are
    /// inflated as they arrive, to find the model, up to
    /// [`max_buffer_bytes`](Self::max_buffer_bytes) and to 100 times their
    /// size; beyond that they are answered with 413. Where nothing is
    /// rewritten, the client's own bytes are forwarded.
    pub fn recompress(mut self, on: bool) -> Self {
        self.options.recompress = on;
        self
    }

    /// Reads the model out of a request; by default [`ModelSources::standard`].
    pub fn extract_model(mut self, extract: impl ExtractModel) -> Self {
        self.options.extract = Arc::new(extract);
        self
    }

    /// Whether `GET /v1/models` and `GET /v1/models/{id}` are answered from the table; on by default.
    pub fn models_endpoint(mut self, on: bool) -> Self {
        self.options.models_endpoint = on;
        self
    }

    /// The treatment of requests that name no model; by default they are rejected.
    pub fn without_model(mut self, what: WithoutModel) -> Self {
        self.options.without_model = what;
        self
    }
}

impl From<RouteTable> for ModelRouteLayer {
    fn from(table: RouteTable) -> Self {
        Self::new(table)
    }
}

impl From<RouteTableHandle> for ModelRouteLayer {
    fn from(table: RouteTableHandle) -> Self {
        Self::new(table)
    }
}

impl<S> Layer<S> for ModelRouteLayer {
    type Service = ModelRouteService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ModelRouteService::new(inner, Arc::new(self.options.clone()))
    }
}
