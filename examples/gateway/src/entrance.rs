//! What every request meets first, whoever answers it.

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderName, Response, Version, header::HOST},
};
use tower::ServiceExt;
use tower_model_route::{RouteError, RouteErrorKind, request_id};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The answer of `app`, with an id: also if it is one of axum or of another layer.
pub(crate) async fn answer(app: Router, mut request: Request) -> Response<Body> {
    let id = request_id(request.headers());
    // Whoever asks for it further in finds this one. A map that is full is refused there.
    _ = request.headers_mut().try_insert(X_REQUEST_ID, id.clone());
    let mut answer = match without_host(&request) {
        Some(refusal) => refusal,
        None => {
            let Ok(answer) = app.oneshot(request).await;
            answer
        }
    };
    _ = answer.headers_mut().try_insert(X_REQUEST_ID, id);
    answer
}

/// Refuses requests of HTTP/1.1 that don't say whom they ask (RFC 9112 section 3.2).
fn without_host(request: &Request) -> Option<Response<Body>> {
    let says = request.headers().contains_key(HOST) || request.uri().authority().is_some();
    if says || request.version() != Version::HTTP_11 {
        return None;
    }
    let error = RouteError::new(RouteErrorKind::InvalidHost, "the request has no Host");
    Some(error.to_response_to(request).map(Body::from))
}
