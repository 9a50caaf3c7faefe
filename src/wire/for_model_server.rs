//! A request without a decision, and the ModelServer that it is for.

use std::sync::Arc;

/// The ModelServer whose engine a request is for: in the extensions of requests
/// without a [decision](crate::RouteBody::decision).
///
/// [`HealthCheck`](crate::HealthCheck), [`ServedModels`](crate::ServedModels) and
/// [`EngineMetrics`](crate::EngineMetrics) add it. `engine_client` (feature `client`) obeys it, and
/// sends the request with the client's options for this ModelServer
/// (`EngineClientBuilder::model_server`). A client of your own that treats ModelServers
/// differently, in their certificates for example, finds the name in the decision, or else here;
/// other clients can ignore it. Add it to your own requests to engines.
///
/// ```
/// use http::Request;
/// use tower_model_route::{ForModelServer, RouteBody};
///
/// /// Which ModelServer this request is for, if it is known.
/// fn model_server(request: &Request<RouteBody>) -> Option<String> {
///     if let Some(decision) = request.body().decision() {
///         return Some(decision.model_server().to_owned());
///     }
///     let named = request.extensions().get::<ForModelServer>()?;
///     Some(named.name().to_owned())
/// }
/// # let mut request = Request::new(RouteBody::default());
/// # assert_eq!(model_server(&request), None);
/// # request.extensions_mut().insert(ForModelServer::new("small"));
/// # assert_eq!(model_server(&request).as_deref(), Some("small"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForModelServer(Arc<str>);

impl ForModelServer {
    /// For the ModelServer of this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name of the ModelServer.
    pub fn name(&self) -> &str {
        &self.0
    }
}
