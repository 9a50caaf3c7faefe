//! The configuration of a ModelServer.

use super::{balance::Balance, endpoint::Endpoint, traffic_policy::TrafficPolicy};

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
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[must_use]
pub struct ModelServer {
    name: String,
    model: Option<String>,
    endpoints: Vec<Endpoint>,
    balance: Balance,
    traffic_policy: TrafficPolicy,
}

impl ModelServer {
    /// A ModelServer without endpoints.
    ///
    /// The targets of rules refer to it by `name`. A ModelServer without
    /// endpoints is legal: requests that only it could serve are answered
    /// with 503 and a Retry-After.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            model: None,
            endpoints: Vec::new(),
            balance: Balance::default(),
            traffic_policy: TrafficPolicy::default(),
        }
    }

    /// The name under which the engines serve the model.
    ///
    /// It overwrites the `model` of the forwarded request, unless the request
    /// matched by a LoRA adapter's name. By default the client's name is kept.
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Adds an endpoint: a URI, or an [`Endpoint`] with a weight.
    ///
    /// [`balance`](Self::balance) decides which of the endpoints a request goes to.
    pub fn endpoint(mut self, endpoint: impl Into<Endpoint>) -> Self {
        self.endpoints.push(endpoint.into());
        self
    }

    /// Adds several endpoints.
    pub fn endpoints<I>(mut self, endpoints: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Endpoint>,
    {
        self.endpoints.extend(endpoints.into_iter().map(Into::into));
        self
    }

    /// Removes all endpoints, so that others can be added in their place.
    pub fn without_endpoints(mut self) -> Self {
        self.endpoints.clear();
        self
    }

    /// The strategy that chooses an endpoint for a request; by default
    /// [`Balance::LeastRequest`].
    pub fn balance(mut self, balance: Balance) -> Self {
        self.balance = balance;
        self
    }

    /// Time limits, retries and limits on load; by default the ModelServer has none of these.
    pub fn traffic_policy(mut self, policy: TrafficPolicy) -> Self {
        self.traffic_policy = policy;
        self
    }

    /// Its name.
    pub fn get_name(&self) -> &str {
        &self.name
    }

    /// The name under which the engines serve the model, if it differs from the client's.
    pub fn get_model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The endpoints, in the order in which they were added.
    pub fn get_endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The strategy that chooses an endpoint.
    pub fn get_balance(&self) -> &Balance {
        &self.balance
    }

    /// The traffic policy.
    pub fn get_traffic_policy(&self) -> &TrafficPolicy {
        &self.traffic_policy
    }
}
