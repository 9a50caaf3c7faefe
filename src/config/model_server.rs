//! The configuration of a ModelServer.

use std::{fmt, sync::Arc};

use http::{HeaderName, HeaderValue};

use super::{
    balance::Balance, encoding::Encoding, endpoint::Endpoint, engine_header::EngineHeader,
    engine_kind::EngineKind, mistake::MistakeKind, traffic_policy::TrafficPolicy,
};

/// A group of engine endpoints that serve one model.
///
/// ```
/// use tower_model_route::ModelServer;
///
/// let server = ModelServer::new("deepseek-r1-1-5b")
///     .model("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B")
///     .endpoint("http://10.0.0.7:8000")
///     .endpoint("http://10.0.0.8:8000/engine");
/// assert_eq!(server.get_endpoints().len(), 2);
/// ```
///
/// Clones are cheap: they share one copy until one of them is changed.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
#[must_use]
pub struct ModelServer(
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::serial::shared"))]
    Arc<ModelServerFields>,
);

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
struct ModelServerFields {
    name: String,
    model: Option<String>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    max_model_len: Option<u64>,
    endpoints: Vec<Endpoint>,
    balance: Balance,
    traffic_policy: TrafficPolicy,
    #[cfg_attr(
        feature = "serde",
        serde(
            skip_serializing_if = "Vec::is_empty",
            serialize_with = "super::engine_header::serialize"
        )
    )]
    headers: Vec<EngineHeader>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Vec::is_empty"))]
    accepts_encodings: Vec<Encoding>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "std::ops::Not::not"))]
    load_reports: bool,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    engine: Option<EngineKind>,
}

impl ModelServer {
    /// A ModelServer without endpoints.
    ///
    /// The targets of rules refer to it by `name`. A ModelServer without
    /// endpoints is legal: requests that only it could serve are answered with
    /// 503 and `Retry-After`.
    pub fn new(name: impl Into<String>) -> Self {
        Self(Arc::new(ModelServerFields {
            name: name.into(),
            model: None,
            max_model_len: None,
            endpoints: Vec::new(),
            balance: Balance::default(),
            traffic_policy: TrafficPolicy::default(),
            headers: Vec::new(),
            accepts_encodings: Vec::new(),
            load_reports: false,
            engine: None,
        }))
    }

    /// The name under which the engines serve the model.
    ///
    /// It overwrites the `model` of the forwarded request, unless the request
    /// matched by a LoRA adapter's name. By default the client's name is kept.
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.fields().model = Some(model.into());
        self
    }

    /// How many tokens a prompt and its answer may have together, like vLLM's `--max-model-len`.
    ///
    /// `GET /v1/models` reports it (the smallest, if several ModelServers serve a model). With
    /// [`retry_too_long`](TrafficPolicy::retry_too_long) it also decides to which ModelServers a
    /// request that is too long may go.
    pub fn max_model_len(mut self, tokens: u64) -> Self {
        self.fields().max_model_len = Some(tokens);
        self
    }

    /// Adds an endpoint: a URI, or an [`Endpoint`] with a weight.
    ///
    /// [`balance`](Self::balance) decides which of the endpoints a request goes to.
    pub fn endpoint(mut self, endpoint: impl Into<Endpoint>) -> Self {
        self.fields().endpoints.push(endpoint.into());
        self
    }

    /// Adds several endpoints.
    pub fn endpoints<I>(mut self, endpoints: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Endpoint>,
    {
        self.fields()
            .endpoints
            .extend(endpoints.into_iter().map(Into::into));
        self
    }

    /// Removes all endpoints, so that others can be added in their place.
    pub fn without_endpoints(mut self) -> Self {
        self.fields().endpoints.clear();
        self
    }

    /// The strategy that chooses an endpoint for a request; by default
    /// [`Balance::LeastRequest`].
    pub fn balance(mut self, balance: Balance) -> Self {
        self.fields().balance = balance;
        self
    }

    /// Time limits, retries and limits on load. By default [`TrafficPolicy::new`]: no time limit except
    /// a `stream_idle_timeout` of 5 minutes, no retries, no limit on load.
    pub fn traffic_policy(mut self, policy: TrafficPolicy) -> Self {
        self.fields().traffic_policy = policy;
        self
    }

    /// Makes the engines report usage even if the client has not asked for it. This sets
    /// [`TrafficPolicy::force_usage`] of the current [traffic policy](Self::traffic_policy), so
    /// call it after that.
    pub fn force_usage(mut self, on: bool) -> Self {
        let policy = std::mem::take(&mut self.fields().traffic_policy);
        self.fields().traffic_policy = policy.force_usage(on);
        self
    }

    /// Sends a header to the engines of this ModelServer, and to no other, in place of the
    /// client's headers of this name:
    ///
    /// ```
    /// # let key = "sk-1";
    /// use tower_model_route::ModelServer;
    ///
    /// let server = ModelServer::new("hosted")
    ///     .endpoint("https://api.example.com")
    ///     .header("authorization", format!("Bearer {key}"));
    /// assert!(!format!("{server:?}").contains(key));
    /// ```
    ///
    /// The value is treated as a secret. It is never shown: not by `Debug`, when serialized, in
    /// YAML, in the admin view or in explanations; a reference such as `${AUTHORIZATION}` is
    /// shown instead. Headers of the connection or of the body's framing, and Host, can't be set.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields()
            .headers
            .push(EngineHeader::literal(name.into(), value.into()));
        self
    }

    /// The same with the text that is shown in place of the value.
    #[cfg(feature = "manifest")]
    pub(crate) fn header_shown_as(mut self, name: String, shown: String, value: String) -> Self {
        self.fields()
            .headers
            .push(EngineHeader::of(name, shown, value));
        self
    }

    /// Declares that the engines accept request bodies in this coding too.
    ///
    /// A body that a client sent in such a coding is forwarded in it: unchanged, or
    /// compressed again if the model's name was rewritten. By default no coding is
    /// accepted, and engines get the decompressed body, since vLLM and SGLang can't read
    /// compressed ones. (With the feature `decompression`; without it, a compressed body
    /// is answered with 415.) A body that need not be read for its model is forwarded
    /// unchanged.
    pub fn accepts_encoding(mut self, encoding: Encoding) -> Self {
        if !self.0.accepts_encodings.contains(&encoding) {
            self.fields().accepts_encodings.push(encoding);
        }
        self
    }

    /// Makes the engines report their load in the headers of their answers, as vLLM and Triton
    /// can; off by default.
    ///
    /// At most once a second for each endpoint, a request carries `endpoint-load-metrics-format:
    /// TEXT`, and only if it is of use: there are several endpoints, the [`balance`](Self::balance)
    /// compares their load (not [`RoundRobin`](Balance::RoundRobin), [`Random`](Balance::Random) or
    /// [`PeakEwma`](Balance::PeakEwma)), the [`engine`](Self::engine) is unknown or one that
    /// reports, and the request is a non-streamed chat or completion whose body has arrived by
    /// then: vLLM 0.32 reports in no other answers. Each report costs such an engine 2 to 5 ms of
    /// its event loop and a line in its log.
    ///
    /// The answer's `endpoint-load-metrics` counts for two seconds: requests in it that are not
    /// this gateway's are added to those in flight. It is removed from the answer if the gateway
    /// asked for it. If the client asks for it itself, the gateway does not, and reads the report
    /// as it passes it on. See the guide on [engines](crate::guide::engines).
    pub fn load_reports(mut self, on: bool) -> Self {
        self.fields().load_reports = on;
        self
    }

    /// Which software its engines run, so that they are not asked for what they can't do; by
    /// default unknown.
    pub fn engine(mut self, kind: EngineKind) -> Self {
        self.fields().engine = Some(kind);
        self
    }

    /// Its name.
    pub fn get_name(&self) -> &str {
        &self.0.name
    }

    /// The name under which the engines serve the model, if it differs from the client's.
    pub fn get_model(&self) -> Option<&str> {
        self.0.model.as_deref()
    }

    /// How many tokens a prompt and its answer may have together, if that is known.
    pub fn get_max_model_len(&self) -> Option<u64> {
        self.0.max_model_len
    }

    /// The endpoints, in the order in which they were added.
    pub fn get_endpoints(&self) -> &[Endpoint] {
        &self.0.endpoints
    }

    /// The strategy that chooses an endpoint.
    pub fn get_balance(&self) -> &Balance {
        &self.0.balance
    }

    /// The traffic policy.
    pub fn get_traffic_policy(&self) -> &TrafficPolicy {
        &self.0.traffic_policy
    }

    /// The codings of request bodies that its engines accept.
    pub fn get_accepts_encodings(&self) -> &[Encoding] {
        &self.0.accepts_encodings
    }

    /// Whether the engines report their load in the headers of their answers.
    pub fn get_load_reports(&self) -> bool {
        self.0.load_reports
    }

    /// Which software its engines run, if that is known.
    pub fn get_engine(&self) -> Option<EngineKind> {
        self.0.engine
    }

    /// The headers that its engines get: their names, each with a reference in place of the value.
    pub fn get_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.headers.iter().map(EngineHeader::shown)
    }

    /// The headers with their values, or what is wrong with each.
    pub(crate) fn parsed_headers(
        &self,
    ) -> impl Iterator<Item = Result<(HeaderName, HeaderValue), MistakeKind>> {
        self.0.headers.iter().map(EngineHeader::parsed)
    }

    /// The fields, to be changed here and in no clone.
    fn fields(&mut self) -> &mut ModelServerFields {
        Arc::make_mut(&mut self.0)
    }
}

impl fmt::Debug for ModelServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
