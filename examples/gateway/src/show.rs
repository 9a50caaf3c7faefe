//! Shows clients the way of each request, in headers.

use axum::http::{HeaderName, HeaderValue, Response};
use tower_model_route::RouteDecision;

pub(crate) const ROUTE: HeaderName = HeaderName::from_static("x-model-route-name");
pub(crate) const RULE: HeaderName = HeaderName::from_static("x-model-route-rule");
pub(crate) const SERVER: HeaderName = HeaderName::from_static("x-model-route-server");
pub(crate) const ENDPOINT: HeaderName = HeaderName::from_static("x-model-route-endpoint");

/// Adds the decision, where there is one; the address of the engine only if clients may know it.
pub(crate) fn with_headers<B>(mut response: Response<B>, endpoints: bool) -> Response<B> {
    if let Some(decision) = response.extensions().get::<RouteDecision>().cloned() {
        for (name, value) in [
            (ROUTE, decision.route()),
            (RULE, decision.rule()),
            (SERVER, decision.model_server()),
            (ENDPOINT, decision.endpoint()),
        ] {
            if name == ENDPOINT && !endpoints {
                continue;
            }
            // A name may hold what a header may not, and the engine's own headers may leave no
            // room for more; then the client is not told.
            if let Ok(value) = HeaderValue::from_str(value) {
                _ = response.headers_mut().try_insert(name, value);
            }
        }
    }
    response
}
