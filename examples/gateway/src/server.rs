//! What the gateway serves: the stack of layers, and the client below it.

use axum::{
    Router,
    http::{Request, Uri, header::HOST, uri::Parts},
};
use tower::ServiceBuilder;
use tower_model_route::{
    EngineClient, ModelRouteLayer, RouteBody, RouteTableHandle, WithoutModel, stack,
};

use crate::show;

/// The layer that routes by this table. `forwards` takes the place of what the table says of
/// requests without a model.
pub(crate) fn layer(table: RouteTableHandle, forwards: bool) -> ModelRouteLayer {
    let layer = ModelRouteLayer::new(table);
    match forwards {
        true => layer.without_model(WithoutModel::Forward),
        false => layer,
    }
}

/// Everything that the gateway serves. Requests that the layer forwards go to `forward`.
/// `endpoints` tells clients the addresses of engines.
pub(crate) fn app(
    layer: ModelRouteLayer,
    client: EngineClient,
    forward: Option<Uri>,
    endpoints: bool,
) -> Router {
    Router::new().fallback_service(
        ServiceBuilder::new()
            .map_response(move |response| show::with_headers(response, endpoints))
            .layer(stack(layer))
            .map_request(move |request| without_model(request, forward.as_ref()))
            .service(client),
    )
}

/// Addresses a request that was not routed.
fn without_model(mut request: Request<RouteBody>, to: Option<&Uri>) -> Request<RouteBody> {
    let Some(to) = to.filter(|_| request.body().decision().is_none()) else {
        return request;
    };
    let mut parts = Parts::default();
    parts.scheme = to.scheme().cloned();
    parts.authority = to.authority().cloned();
    parts.path_and_query = request.uri().path_and_query().cloned();
    // A target that is no path (`*`) stays as it is, and gets 502.
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
        // The client sets it by the URI.
        request.headers_mut().remove(HOST);
    }
    request
}
