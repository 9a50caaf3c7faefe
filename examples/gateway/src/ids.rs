//! Every request has an id, whoever answers it.

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderName, Response},
};
use tower::ServiceExt;
use tower_model_route::request_id;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The answer of `app`, with an id: also if it is one of axum or of another layer.
pub(crate) async fn answer(app: Router, mut request: Request) -> Response<Body> {
    let id = request_id(request.headers());
    // Whoever asks for it further in finds this one. A map that is full is refused there.
    _ = request.headers_mut().try_insert(X_REQUEST_ID, id.clone());
    let Ok(mut answer) = app.oneshot(request).await;
    _ = answer.headers_mut().try_insert(X_REQUEST_ID, id);
    answer
}
