//! The layer and its builder.

use std::{sync::Arc, time::Duration};

use http::{Uri, request::Parts};
use tower_layer::Layer;

use super::{
    options::{Options, WithoutModel},
    original_path::OriginalPath,
    service::ModelRouteService,
    visible_models::VisibleModels,
};
use crate::{
    config::ApiPaths,
    model::{ExtractModel, ModelSources},
    route::{RouteTable, RouteTableHandle},
    wire::{ForwardedFields, Via},
};

/// Routes inference requests by the model named in the request.
///
/// It wraps your HTTP client, or any service that takes a
/// `Request<RouteBody>`, and can be mounted in any server. It answers requests
/// that it can't route itself, so its only error is the inner service's.
///
/// It is always ready. The inner service is driven to readiness only once the
/// request body has been received far enough to route it, so that a slow upload
/// holds no permit meanwhile. A limit that protects the engines therefore
/// belongs below this layer, and a (global) limit on the memory of buffered
/// bodies above it.
#[derive(Clone, Debug)]
#[must_use]
pub struct ModelRouteLayer {
    options: Options,
}

impl ModelRouteLayer {
    /// Routes by `table`, with the default options.
    ///
    /// `table` is a [`RouteTable`], or a [`RouteTableHandle`], through which the
    /// table can be replaced while requests are in flight.
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
                visible_models: VisibleModels::default(),
                without_model: WithoutModel::default(),
                paths: ApiPaths::standard(),
                original_path: OriginalPath::default(),
                via: Via::default(),
                forwarded: ForwardedFields::default(),
            },
        }
    }

    /// The largest request body in bytes, 256 MiB by default; a larger one is answered with 413.
    ///
    /// If the client announces such a length, the 413 is sent before any of the
    /// body is read, and instead of a `100 Continue`. The default is this large
    /// because bodies are forwarded as they arrive and not held in memory;
    /// [`max_buffer_bytes`](Self::max_buffer_bytes) limits how much is buffered.
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.options.max_body_bytes = bytes as u64;
        self
    }

    /// How many bytes of a body are buffered until its model is known, 32 MiB by
    /// default. A body that has not named its model by then is answered with 413.
    pub fn max_buffer_bytes(mut self, bytes: usize) -> Self {
        self.options.max_buffer_bytes = bytes as u64;
        self
    }

    /// How many bytes of a body are kept for retries, 1 MiB by default.
    ///
    /// A larger body is sent only once; a retry policy can check
    /// [`RouteBody::is_replayable`](crate::RouteBody::is_replayable). The limit
    /// also bounds the memory of an upload that is forwarded as it arrives. While
    /// no clone of the body waits to be sent, an upload takes no more memory than
    /// the chunks in transit.
    pub fn replay_bytes(mut self, bytes: usize) -> Self {
        self.options.replay_bytes = bytes as u64;
        self
    }

    /// The total time spent waiting for the client to send the body, 60 s by
    /// default; a slower client is answered with 408.
    ///
    /// Time spent waiting for the engine does not count. The timeout needs a
    /// tokio runtime with timers; [`Duration::MAX`] turns it off.
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.options.body_timeout = timeout;
        self
    }

    /// Whether a compressed body is compressed again after its model has been
    /// rewritten. Off by default: then such a body is forwarded uncompressed,
    /// without its Content-Encoding.
    ///
    /// Compressed bodies (gzip, deflate, br, zstd) need the feature
    /// `decompression`; without it they are answered with 415. To find the
    /// model, they are decompressed as they arrive, up to
    /// [`max_buffer_bytes`](Self::max_buffer_bytes) and to 100 times their
    /// compressed size; beyond that they are answered with 413. If the model
    /// need not be rewritten, the client's own bytes are forwarded.
    pub fn recompress(mut self, on: bool) -> Self {
        self.options.recompress = on;
        self
    }

    /// How the model is extracted from a request; [`ModelSources::standard`] by default.
    pub fn extract_model(mut self, extract: impl ExtractModel) -> Self {
        self.options.extract = Arc::new(extract);
        self
    }

    /// Whether `GET /v1/models` and `GET /v1/models/{id}` are answered from the
    /// table; on by default.
    pub fn models_endpoint(mut self, on: bool) -> Self {
        self.options.models_endpoint = on;
        self
    }

    /// Which models a client sees at `GET /v1/models`: those for which
    /// `is_visible` is true, which gets the request's head and the name of a
    /// model or adapter. By default all are.
    ///
    /// A model that is not visible is answered with 404 at
    /// `GET /v1/models/{id}`. Requests that ask for it are still routed.
    ///
    /// ```
    /// use tower_model_route::{ModelRouteLayer, RouteTable};
    ///
    /// # fn main() -> Result<(), tower_model_route::BuildError> {
    /// # let table = RouteTable::builder().build()?;
    /// let layer = ModelRouteLayer::new(table).visible_models(|head, model| {
    ///     !model.starts_with("internal-") || head.headers.contains_key("x-staff")
    /// });
    /// # let _ = layer;
    /// # Ok(())
    /// # }
    /// ```
    pub fn visible_models(
        mut self,
        is_visible: impl Fn(&Parts, &str) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.options.visible_models = VisibleModels::new(is_visible);
        self
    }

    /// The treatment of requests that name no model; by default they are rejected.
    pub fn without_model(mut self, what: WithoutModel) -> Self {
        self.options.without_model = what;
        self
    }

    /// The paths that may reach an engine: by default those of the inference
    /// APIs, [`ApiPaths::standard`]. Other requests are answered with 404
    /// `unknown_path`, unless they name no model and are
    /// [forwarded](WithoutModel::Forward).
    ///
    /// Paths that the table adds
    /// ([`RouteTableBuilder::paths`](crate::RouteTableBuilder::paths)) pass as
    /// well. Whatever the list, a path with a dot segment (`/../`, also
    /// escaped) is answered with 400 `invalid_target`: an engine would resolve
    /// it, out of its endpoint's prefix and past a rule's condition on the path.
    pub fn paths(mut self, paths: ApiPaths) -> Self {
        self.options.paths = paths;
        self
    }

    /// Says with which URI a request came, if a router above strips a prefix
    /// of the path, as axum's `nest` does.
    ///
    /// A request whose own path may reach an engine keeps it. If only the path
    /// with which it came may, the request is routed and sent with that one:
    /// below `nest("/v1", ..)` the path `/chat/completions` becomes
    /// `/v1/chat/completions` again. If neither may, the 404 names both.
    ///
    /// With the feature `axum` the default reads axum's `OriginalUri`;
    /// without it there is none.
    ///
    /// ```
    /// use tower_model_route::{ModelRouteLayer, RouteTable};
    ///
    /// # fn main() -> Result<(), tower_model_route::BuildError> {
    /// # let table = RouteTable::builder().build()?;
    /// let layer = ModelRouteLayer::new(table).original_path(|head| {
    ///     let original = head.extensions.get::<axum::extract::OriginalUri>()?;
    ///     Some(original.0.clone())
    /// });
    /// # let _ = layer;
    /// # Ok(())
    /// # }
    /// ```
    pub fn original_path(
        mut self,
        original: impl Fn(&Parts) -> Option<Uri> + Send + Sync + 'static,
    ) -> Self {
        self.options.original_path = OriginalPath::new(original);
        self
    }

    /// How the gateway calls itself in the field `Via` of requests and answers
    /// that it passes on; by default by a random name of the process. A
    /// request that has this name already is answered with 508 `loop_detected`.
    pub fn via(mut self, via: Via) -> Self {
        self.options.via = via;
        self
    }

    /// What engines are told about the client in `X-Forwarded-*` and
    /// `Forwarded`; by default what the client says itself.
    pub fn forwarded_fields(mut self, fields: ForwardedFields) -> Self {
        self.options.forwarded = fields;
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
