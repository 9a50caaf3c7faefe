//! The layer and its builder.

use std::{sync::Arc, time::Duration};

use http::{HeaderName, Uri, request::Parts};
use tower_layer::Layer;
use tracing::warn;

use super::{
    authorize::{Authorize, RuleMatch},
    limits::LimitOptions,
    options::Options,
    service::ModelRouteService,
    visible_models::VisibleModels,
};
#[cfg(feature = "admin")]
use crate::observe::Admin;
use crate::{
    attempt::Tunnels,
    config::{ApiPaths, WithoutModel},
    error::RouteError,
    limit::LimitStore,
    model::{ExtractModel, ModelSources},
    observe::{AsLayer, Explanation, Observer, Observers, Shown, SpanLevel},
    route::{RouteTable, RouteTableHandle},
    upload::{DrainLimits, Memory, Pace},
    wire::{Admission, ForwardedFields, OriginalPath, Via},
};

/// Routes inference requests by the model named in the request.
///
/// It wraps your HTTP client, or any service that takes a
/// `Request<RouteBody>`, and can be mounted in any server. It answers requests
/// that it can't route itself, so its only error is the inner service's.
///
/// It is always ready. The inner service is driven to readiness only once enough of the
/// request body has arrived to route it, so that a slow upload holds no permit. A limit
/// that protects the engines therefore belongs below this layer. The memory for the
/// bodies of all requests together is bounded by
/// [`max_total_buffer_bytes`](Self::max_total_buffer_bytes).
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
                pace: Pace {
                    pause: Duration::from_secs(60),
                    rate: 1024,
                    total: Duration::MAX,
                },
                memory: Memory::new(1 << 30),
                drain: DrainLimits::default(),
                tunnels: Tunnels::new(),
                admission: Admission::default(),
                visible_models: VisibleModels::default(),
                without_model: None,
                authorize: Authorize::default(),
                forwarded: ForwardedFields::default(),
                deadline_header: None,
                limits: LimitOptions::default(),
                observers: Observers::default(),
                span_level: SpanLevel::default(),
            },
        }
    }

    /// The largest request body in bytes, 256 MiB by default; a larger one is answered with 413.
    ///
    /// If the client declares such a length, the 413 is sent before any of the
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
    /// [`RouteBody::is_replayable`](crate::RouteBody::is_replayable). It also
    /// bounds the memory of an upload that is forwarded as it arrives: while no
    /// clone of the body waits to be sent, that is no more than the chunks in
    /// transit.
    pub fn replay_bytes(mut self, bytes: usize) -> Self {
        self.options.replay_bytes = bytes as u64;
        self
    }

    /// How many bytes of bodies all requests together may hold, 1 GiB by default: what
    /// is buffered until a request is sent, and what is kept for retries. Beyond that,
    /// a request that has to be buffered is answered with 503 `overloaded`, and an
    /// upload that is already being forwarded can't be retried.
    ///
    /// The clones of a layer, and the services that they make, count together.
    pub fn max_total_buffer_bytes(mut self, bytes: usize) -> Self {
        self.options.memory = Memory::new(bytes as u64);
        self
    }

    /// How many bytes of bodies all requests together hold now; see
    /// [`max_total_buffer_bytes`](Self::max_total_buffer_bytes).
    pub fn buffered_bytes(&self) -> u64 {
        self.options.memory.held()
    }

    /// The longest wait for the next bytes of a body, 60 s by default; a client
    /// that pauses for longer is answered with 408.
    ///
    /// Only time spent waiting for the client counts, not the time that the engine
    /// takes to read; the same is true of [`min_body_rate`](Self::min_body_rate)
    /// and [`total_body_timeout`](Self::total_body_timeout). All three need a
    /// tokio runtime with timers; [`Duration::MAX`] turns this one off.
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.options.pace.pause = timeout;
        self
    }

    /// The lowest rate at which a body may arrive, in bytes per second; 1,024 by
    /// default, and 0 turns it off. A slower client is answered with 408, so that
    /// a client that sends a byte now and then can't hold memory forever.
    ///
    /// A client may fall behind the rate by a minute, or by the
    /// [`body_timeout`](Self::body_timeout) if that is longer: one that sends next to
    /// nothing is cut off after that time, even if it was fast before.
    pub fn min_body_rate(mut self, bytes_per_second: usize) -> Self {
        self.options.pace.rate = bytes_per_second as u64;
        self
    }

    /// The total time that may be spent waiting for a client to send its body;
    /// unlimited ([`Duration::MAX`]) by default. A client that takes longer is
    /// answered with 408.
    pub fn total_body_timeout(mut self, timeout: Duration) -> Self {
        self.options.pace.total = timeout;
        self
    }

    /// How much of the rest of an upload is read after it has been answered early, such
    /// as with a 404, 413 or 503; 64 MiB by default, and 0 turns this off.
    ///
    /// A server that closes a connection while the client is still sending resets it, and many
    /// clients then lose the answer, because they read it only once they have sent everything (RFC
    /// 9112 section 9.6). So the last byte of the answer waits for the end of the upload, which is
    /// read and thrown away: up to this many bytes, for the [`drain_timeout`](Self::drain_timeout),
    /// and until the client has been silent for a second. Over HTTP/2 the gateway's own answer
    /// waits as a whole, because curl breaks the stream off if it comes in parts. A client that
    /// waits for its `100 Continue` has nothing to send, and is answered at once; over HTTP/1.1 with
    /// `Connection: close`, since it may send its body all the same (RFC 9110 section 10.1.1).
    pub fn drain_bytes(mut self, bytes: usize) -> Self {
        self.options.drain.bytes = bytes as u64;
        self
    }

    /// For how long the rest of an upload is read after it has been answered early; 5 s
    /// by default, and zero turns this off. See [`drain_bytes`](Self::drain_bytes).
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.options.drain.time = timeout;
        self
    }

    /// How the model is extracted from a request; [`ModelSources::standard`] by default.
    pub fn extract_model(mut self, extract: impl ExtractModel) -> Self {
        self.options.extract = Arc::new(extract);
        self
    }

    /// Explains how this layer would answer a request now, and why; see
    /// [`RouteTable::explain`]. Give `head` the extensions that the layer's options read.
    ///
    /// [`authorize`](Self::authorize) is not called, and the limits on bodies don't
    /// apply.
    ///
    /// # Errors
    ///
    /// The error that the client would get: the request is not let through, no model can be read,
    /// or the extractor refuses the request.
    pub fn explain(&self, head: &Parts, body: &[u8]) -> Result<Explanation, RouteError> {
        let options = &self.options;
        let layer = AsLayer {
            admission: &options.admission,
            extract: &*options.extract,
            without_model: options.without_model.as_ref(),
        };
        let table = options.table.table();
        table.explain_request_showing(layer, head, body, Shown::ALL)
    }

    /// The admin view of the layer's table. It explains requests as this layer reads them, with
    /// the options set so far.
    #[cfg(feature = "admin")]
    pub fn admin(&self) -> Admin {
        let options = &self.options;
        Admin::of_layer(
            options.table.clone(),
            options.admission.clone(),
            Arc::clone(&options.extract),
            options.without_model.clone(),
        )
    }

    /// The WebSocket sessions (`/v1/realtime`) of this layer and its clones, so that a
    /// shutdown can wait for them.
    pub fn tunnels(&self) -> Tunnels {
        self.options.tunnels.clone()
    }

    /// Whether `GET /v1/models` and `GET /v1/models/{id}` are answered from the table, as well
    /// as Gemini's `/v1beta/models` and `/v1alpha/models`, Vertex AI's
    /// `/v1beta1/publishers/google/models` and Ollama's `/api/tags`; on by default.
    pub fn models_endpoint(mut self, on: bool) -> Self {
        self.options.admission.models_endpoint = on;
        self
    }

    /// Which models a client sees at `GET /v1/models` and in the other APIs' lists: those for which
    /// `is_visible` returns true, given the request's head and the name of a model or
    /// adapter. By default all are visible.
    ///
    /// `GET /v1/models/{id}` answers 404 for a model that is not visible.
    /// Requests for it are still routed.
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

    /// What happens to requests that name no model. It overrides the table's setting
    /// ([`RouteTableBuilder::without_model`](crate::RouteTableBuilder::without_model)). If neither
    /// is set, they are rejected.
    ///
    /// If the table is later replaced by one without that model or ModelRoute, these requests
    /// get a 404: `model_not_found`, or `route_not_found` with the ModelRoute's name. If the
    /// current table does not have it, this call logs a warning.
    ///
    /// ```
    /// use tower_model_route::{ModelRouteLayer, RouteTable, WithoutModel};
    ///
    /// # fn main() -> Result<(), tower_model_route::BuildError> {
    /// # let table = RouteTable::builder().build()?;
    /// let layer = ModelRouteLayer::new(table).without_model(WithoutModel::Model("small".into()));
    /// # let _ = layer;
    /// # Ok(())
    /// # }
    /// ```
    pub fn without_model(mut self, what: WithoutModel) -> Self {
        if let Some(mistake) = self.options.table.load().mistake_in(&what) {
            warn!("without_model: {mistake}");
        }
        self.options.without_model = Some(what);
        self
    }

    /// Lets `may_go_on` decide who may use which model, from the request's head and what it asks
    /// for.
    ///
    /// It is called once for each routed request, when its rule is known and before an
    /// endpoint is chosen. An error is the answer to the client, in the dialect of its API. A
    /// refusal costs the engines nothing: it takes no turn in a split or at an endpoint,
    /// nothing is counted, and the rest of the upload is [drained](Self::drain_bytes). It is
    /// not called for requests that are [forwarded](WithoutModel::Forward), which have no
    /// rule, nor for `GET /v1/models` (see [`visible_models`](Self::visible_models)).
    ///
    /// The closure must not block. Do anything that takes time, such as looking up the
    /// caller's key, in a layer above, and put the result into the request's extensions.
    ///
    /// ```
    /// use tower_model_route::{ModelRouteLayer, RouteError, RouteErrorKind, RouteTable};
    ///
    /// /// Set by a layer above that knows the caller.
    /// #[derive(Clone)]
    /// struct Groups(Vec<&'static str>);
    ///
    /// # fn main() -> Result<(), tower_model_route::BuildError> {
    /// # let table = RouteTable::builder().build()?;
    /// let layer = ModelRouteLayer::new(table).authorize(|head, to| {
    ///     let groups = head.extensions.get::<Groups>();
    ///     if groups.is_some_and(|groups| groups.0.contains(&to.route())) {
    ///         return Ok(());
    ///     }
    ///     let message = format!("the model `{}` is not for you", to.requested_model());
    ///     Err(RouteError::new(RouteErrorKind::Forbidden, message))
    /// });
    /// # let _ = layer;
    /// # Ok(())
    /// # }
    /// ```
    pub fn authorize(
        mut self,
        may_go_on: impl Fn(&Parts, &RuleMatch<'_>) -> Result<(), RouteError> + Send + Sync + 'static,
    ) -> Self {
        self.options.authorize = Authorize::new(may_go_on);
        self
    }

    /// The paths that may reach an engine: by default those of the inference
    /// APIs, [`ApiPaths::standard`]. Other requests are answered with 404
    /// `unknown_path`, unless they name no model and are
    /// [forwarded](WithoutModel::Forward).
    ///
    /// Paths that the table adds
    /// ([`RouteTableBuilder::paths`](crate::RouteTableBuilder::paths)) pass as
    /// well. Whatever the list, a path with a dot segment (`/../`, escaped or
    /// not) is answered with 400 `invalid_target`: an engine would resolve it,
    /// and it could leave its endpoint's prefix or slip past a rule's condition
    /// on the path. So is one with an empty segment (`//v1/completions`), which
    /// some servers drop, unless the list is [`ApiPaths::any`].
    pub fn paths(mut self, paths: ApiPaths) -> Self {
        self.options.admission.paths = paths;
        self
    }

    /// Finds the original URI of a request, if a router above strips a prefix
    /// of the path, as axum's `nest` does.
    ///
    /// A request whose own path may reach an engine keeps it. If only its
    /// original path may, the request is routed and sent with that one: below
    /// `nest("/v1", ..)` the path `/chat/completions` becomes
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
        self.options.admission.original_path = OriginalPath::new(original);
        self
    }

    /// The gateway's name in the `Via` header of requests and answers that it
    /// passes on; by default a random name for the process. A request that
    /// already has this name is answered with 508 `loop_detected`.
    pub fn via(mut self, via: Via) -> Self {
        self.options.admission.via = via;
        self
    }

    /// What engines are told about the client in `X-Forwarded-*` and
    /// `Forwarded`; by default what the client itself sent.
    pub fn forwarded_fields(mut self, fields: ForwardedFields) -> Self {
        self.options.forwarded = fields;
        self
    }

    /// Obeys the header of this name, such as `x-request-timeout`, in which clients say
    /// how long they will wait, in seconds with decimals. By default no such header is
    /// read.
    ///
    /// It counts from the arrival of the request's head, and bounds the
    /// [`total_timeout`](crate::TrafficPolicy::total_timeout), which is the longest that a client
    /// can ask for. An attempt starts only if its own `timeout` still fits, and the first needs at
    /// least 100 ms; otherwise the client gets a 504. An invalid value is ignored. The header is
    /// forwarded to the engine unchanged.
    pub fn deadline_header(mut self, name: HeaderName) -> Self {
        self.options.deadline_header = Some(name);
        self
    }

    /// What a [`RateLimit`](crate::RateLimit) with the key
    /// [`LimitKey::Named`](crate::LimitKey::Named) of this name counts by: requests for which `of`
    /// returns the same value share a bucket, and a request for which it returns `None` is not
    /// limited.
    ///
    /// It sees the client's head, with the extensions that layers above have put there, such as the
    /// claims of a token, and which model, route and rule the request has. It must not block. A
    /// second call with the same name replaces the first. A limit whose name was never given counts
    /// all requests together, and a warning is logged.
    ///
    /// ```
    /// use tower_model_route::{ModelRouteLayer, RouteTable};
    ///
    /// #[derive(Clone)]
    /// struct Tenant(String);
    ///
    /// # fn main() -> Result<(), tower_model_route::BuildError> {
    /// # let table = RouteTable::builder().build()?;
    /// let layer = ModelRouteLayer::new(table).limit_key("tenant", |head, _rule| {
    ///     let tenant = head.extensions.get::<Tenant>()?;
    ///     Some(tenant.0.clone())
    /// });
    /// # let _ = layer;
    /// # Ok(())
    /// # }
    /// ```
    pub fn limit_key(
        mut self,
        name: impl Into<String>,
        of: impl Fn(&Parts, &RuleMatch<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.options.limits.add_key(name.into(), of);
        self
    }

    /// Stores the buckets of all limits in `store`, except limits on concurrent requests; by default
    /// in memory, or in the limit's own Redis.
    pub fn limit_store(mut self, store: Arc<dyn LimitStore>) -> Self {
        self.options.limits.set_store(store);
        self
    }

    /// Whether answers say what is left of the limits, in `x-ratelimit-limit-tokens`,
    /// `-remaining-tokens`, `-reset-tokens`, and the same for `requests` (OpenAI's names); on by
    /// default. They are for the limit with the least left; limits on concurrent requests are not
    /// reported. The remaining amount is never below 0, and the reset is the time until the bucket
    /// is full, as OpenAI writes it: `120ms`, `7s`, `6m0s`. The engine's own headers of these names
    /// are kept.
    pub fn limit_headers(mut self, says: bool) -> Self {
        self.options.limits.says_what_is_left = says;
        self
    }

    /// Tells `observer` what happens to each request; none by default, and each call adds one.
    ///
    /// A layer without observers spends nothing on them: it reads no answers for them
    /// and no clock.
    ///
    /// ```
    /// # use tower_model_route::{EndFacts, ModelRouteLayer, Observer, RouteTable};
    /// struct Printer;
    ///
    /// impl Observer for Printer {
    ///     fn ended(&self, end: &EndFacts<'_>) {
    ///         println!("{} {:?} {:?}", end.request().path(), end.status(), end.usage().output);
    ///     }
    /// }
    ///
    /// # let table = RouteTable::builder().build().unwrap();
    /// let layer = ModelRouteLayer::new(table).observer(Printer);
    /// ```
    pub fn observer(self, observer: impl Observer) -> Self {
        self.shared_observer(Arc::new(observer))
    }

    /// Like [`observer`](Self::observer), for an observer that is used
    /// elsewhere too.
    pub fn shared_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.options.observers.add(observer);
        self
    }

    /// The level of the request's span and of its attempts' spans, [`SpanLevel::Debug`] by default, as
    /// that of tower-http's `TraceLayer` is. For traces choose [`SpanLevel::Info`].
    ///
    /// A span that no subscriber wants costs nothing; one that is recorded costs some microseconds
    /// a request, and the answer is read for its usage. The spans of the attempts have the target
    /// `tower_model_route::attempt`.
    pub fn span_level(mut self, level: SpanLevel) -> Self {
        self.options.span_level = level;
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
