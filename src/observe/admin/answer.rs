//! What the answers have in common.

use http::{
    HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    },
};
use serde::Serialize;
use serde_json::json;

use super::body::AdminBody;
use crate::error::RouteError;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

const COMMON: [(HeaderName, HeaderValue); 3] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// A 200.
pub(super) fn of(content_type: HeaderValue, body: AdminBody) -> Response<AdminBody> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.extend(COMMON);
    headers.insert(CONTENT_TYPE, content_type);
    response
}

pub(super) fn json(value: &impl Serialize) -> Response<AdminBody> {
    match serde_json::to_vec(value) {
        Ok(json) => of(JSON, AdminBody::new(json)),
        // Only a map with keys other than strings fails; the views have none.
        Err(error) => refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            &error.to_string(),
        ),
    }
}

/// An error in the shape of the gateway's others.
pub(super) fn refusal(status: StatusCode, code: &str, message: &str) -> Response<AdminBody> {
    let error = json!({"error": {
        "message": message,
        "type": "invalid_request_error",
        "param": null,
        "code": code,
    }});
    let mut response = of(JSON, AdminBody::new(error.to_string()));
    *response.status_mut() = status;
    response
}

/// What was asked can't be answered, for this reason.
pub(super) fn invalid(message: &str) -> Response<AdminBody> {
    refusal(StatusCode::BAD_REQUEST, "invalid_question", message)
}

/// The request that is asked about could not be routed, for this reason.
pub(super) fn unroutable(error: &RouteError) -> Response<AdminBody> {
    let message = format!(
        "the request would be answered with {}: {error}",
        error.status().as_u16()
    );
    refusal(StatusCode::BAD_REQUEST, error.kind().code(), &message)
}

pub(super) fn not_found() -> Response<AdminBody> {
    refusal(
        StatusCode::NOT_FOUND,
        "not_found",
        "the only paths here are _, _routes, _explain, _drain and _undrain",
    )
}

pub(super) fn misdirected() -> Response<AdminBody> {
    refusal(
        StatusCode::MISDIRECTED_REQUEST,
        "misdirected_request",
        "the admin view does not allow this host name: allow it with Admin::host",
    )
}

pub(super) fn not_json() -> Response<AdminBody> {
    refusal(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "the Content-Type of a question must be application/json",
    )
}

pub(super) fn read_only() -> Response<AdminBody> {
    refusal(
        StatusCode::FORBIDDEN,
        "read_only",
        "this admin view is read-only",
    )
}

pub(super) fn not_allowed(allowed: &'static str) -> Response<AdminBody> {
    let message = format!("only the methods {allowed} are allowed here");
    let mut response = refusal(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        &message,
    );
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// The answer to a request of something that can only be read.
pub(super) fn to_get(
    method: &Method,
    answer: impl FnOnce() -> Response<AdminBody>,
) -> Response<AdminBody> {
    match *method {
        Method::GET => answer(),
        Method::HEAD => {
            let (mut head, body) = answer().into_parts();
            head.headers.insert(CONTENT_LENGTH, body.len().into());
            Response::from_parts(head, AdminBody::default())
        }
        _ => not_allowed("GET, HEAD"),
    }
}
