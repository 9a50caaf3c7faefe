//! Turns a [`RouteError`] into JSON that the client's SDK understands.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use serde_json::{Value, json};

use super::route::{RouteError, RouteErrorKind};

/// The `Accept-Encoding` of a 415 (RFC 9110 section 12.5.3).
pub(crate) const ACCEPTED_ENCODINGS: &str = if cfg!(feature = "decompression") {
    "gzip, deflate, br, zstd"
} else {
    "identity"
};

/// The API that a client uses, which determines the JSON shape of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    OpenAi,
    Anthropic,
}

impl Shape {
    /// Recognises Anthropic's Messages API also if it is mounted under a prefix.
    pub(crate) fn of(path: &str) -> Self {
        if path.ends_with("/v1/messages") || path.contains("/v1/messages/") {
            Self::Anthropic
        } else {
            Self::OpenAi
        }
    }
}

impl RouteError {
    /// The answer for a client that requested `path`, with this error in its extensions.
    ///
    /// On `/v1/messages` the JSON body has Anthropic's shape, elsewhere OpenAI's.
    /// A 503 has a `Retry-After`; a 415 lists the accepted encodings in
    /// `Accept-Encoding` (RFC 9110 section 15.5.16).
    pub fn to_response(&self, path: &str) -> Response<Bytes> {
        self.answer(Shape::of(path))
    }

    pub(crate) fn answer(&self, shape: Shape) -> Response<Bytes> {
        let body = match shape {
            Shape::OpenAi => self.openai_json(),
            Shape::Anthropic => self.anthropic_json(),
        };
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(wait) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if self.kind() == RouteErrorKind::UnsupportedEncoding {
            headers.insert(
                ACCEPT_ENCODING,
                HeaderValue::from_static(ACCEPTED_ENCODINGS),
            );
        }
        response.extensions_mut().insert(self.clone());
        response
    }

    fn openai_json(&self) -> Value {
        let kind = if self.status().is_client_error() {
            "invalid_request_error"
        } else {
            "server_error"
        };
        json!({"error": {
            "message": self.message(),
            "type": kind,
            "param": self.kind().param(),
            "code": self.kind().code(),
        }})
    }

    fn anthropic_json(&self) -> Value {
        let kind = match self.status() {
            StatusCode::NOT_FOUND => "not_found_error",
            StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
            StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
            StatusCode::GATEWAY_TIMEOUT => "timeout_error",
            status if status.is_client_error() => "invalid_request_error",
            _ => "api_error",
        };
        json!({"type": "error", "error": {"type": kind, "message": self.message()}})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(error: &RouteError, path: &str) -> Value {
        serde_json::from_slice(error.to_response(path).body()).unwrap()
    }

    #[test]
    fn openai_shape() {
        let error = RouteError::model_not_found("gpt \"x\"");
        assert_eq!(
            body(&error, "/v1/chat/completions"),
            json!({"error": {
                "message": "the model `gpt \"x\"` does not exist",
                "type": "invalid_request_error",
                "param": "model",
                "code": "model_not_found",
            }})
        );
    }

    #[test]
    fn anthropic_shape_on_messages() {
        let error = RouteError::model_not_found("m");
        let expected = json!({"type": "error", "error": {
            "type": "not_found_error",
            "message": "the model `m` does not exist",
        }});
        for path in [
            "/v1/messages",
            "/anthropic/v1/messages",
            "/v1/messages/count_tokens",
        ] {
            assert_eq!(body(&error, path), expected);
        }
    }

    #[test]
    fn a_503_says_when_to_come_back() {
        let response = RouteError::no_endpoint("m").to_response("/");
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "5");
        assert!(response.extensions().get::<RouteError>().is_some());
    }
}
