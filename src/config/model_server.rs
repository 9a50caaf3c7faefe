//! The configuration of a ModelServer.

use super::{balance::Balance, traffic_policy::TrafficPolicy};

/// A group of engine endpoints that serve one model.
///
/// ```
/// use tower_model_route::ModelServer;
///
/// let server = ModelServer::new("deepseek-r1-1-5b")
///     .model("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B")
///     .endpoint("http://10.0.0.7:8000")
///     .endpoint("http://10.0.0.8:8000/engine");
/// # let _ = server;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ModelServer {
    pub(crate) name: String,
    pub(crate) model: Option<String>,
    /// The endpoints' URIs and weights.
    pub(crate) endpoints: Vec<(String, u32)>,
    pub(crate) balance: Balance,
    pub(crate) policy: TrafficPolicy,
}

impl ModelServer {
    /// A ModelServer without endpoints.
    ///
    /// `name` is what the targets of rules call it. A ModelServer without
    /// endpoints is legal: requests that only it could serve are answered
    /// with 503 and a Retry-After.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            model: None,
            endpoints: Vec::new(),
            balance: Balance::default(),
            policy: TrafficPolicy::default(),
        }
    }

    /// The name under which the engines serve the model.
    ///
    /// It overwrites the top-level `model` of the forwarded body, unless the
    /// request matched by a LoRA adapter's name. Without it the client's name
    /// goes through.
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Adds an endpoint: an absolute `http` or `https` URI, with an optional
    /// path that is put in front of each request's path.
    ///
    /// User information, a query or a fragment in the URI is a mistake.
    /// Which of the endpoints a request goes to, [`balance`](Self::balance) says.
    pub fn endpoint(self, uri: impl Into<String>) -> Self {
        self.weighted_endpoint(uri, 1)
    }

    /// Adds an endpoint that takes `weight` times as much as one of weight 1, which is what the others have.
    pub fn weighted_endpoint(mut self, uri: impl Into<String>, weight: u32) -> Self {
        self.endpoints.push((uri.into(), weight));
        self
    }

    /// Adds several endpoints.
    pub fn endpoints<I>(mut self, uris: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.endpoints
            .extend(uris.into_iter().map(|uri| (uri.into(), 1)));
        self
    }

    /// How an endpoint is chosen for a request; by default the one with fewer requests in flight.
    pub fn balance(mut self, balance: Balance) -> Self {
        self.balance = balance;
        self
    }

    /// Time limits, retries and limits on load; by default there are none of these.
    pub fn traffic_policy(mut self, policy: TrafficPolicy) -> Self {
        self.policy = policy;
        self
    }
}
