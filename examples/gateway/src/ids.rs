//! Every request has an id, whoever answers it.

use axum::{
    Router,
    extract::Request,
    http::HeaderName,
    middleware::{self, Next},
    response::Response,
};
use tower_model_route::request_id;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// `app` with an id in each answer: also in those of axum and of other layers.
pub(crate) fn on(app: Router) -> Router {
    app.layer(middleware::from_fn(with_id))
}

async fn with_id(mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    // Whoever asks for it further in finds this one. A map that is full is refused there.
    _ = request.headers_mut().try_insert(X_REQUEST_ID, id.clone());
    let mut response = next.run(request).await;
    _ = response.headers_mut().try_insert(X_REQUEST_ID, id);
    response
}
