//! Turns a [`RouteError`] into JSON that the client's SDK understands.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    request::Parts,
};
use serde_json::{Value, json};

use super::{
    request_id::{X_REQUEST_ID, given_request_id, new_request_id, own_request_id},
    route::{RouteError, RouteErrorKind, whole_seconds},
};

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
    Google,
    /// An error that is a plain string: Ollama, KServe.
    Text,
    Bedrock,
    /// OpenAI's, with what Cohere's clients read beside it.
    Cohere,
}

impl Shape {
    /// Recognizes the API even if it is mounted under a prefix.
    fn of(path: &str, headers: &HeaderMap) -> Self {
        let shape = Self::of_usual(path);
        shape.unwrap_or_else(|| {
            let is_for_models = path.contains("/v1/models");
            if is_for_models && is_of_anthropic(headers) {
                return Self::Anthropic;
            }
            if is_for_models && is_of_google(headers) {
                return Self::Google;
            }
            Self::of_path(path)
        })
    }

    /// The API of the most common paths, recognized by length and one comparison.
    fn of_usual(path: &str) -> Option<Self> {
        match path {
            "/v1/chat/completions" | "/v1/completions" | "/v1/embeddings" | "/v1/responses" => {
                Some(Self::OpenAi)
            }
            "/v1/messages" => Some(Self::Anthropic),
            _ => None,
        }
    }

    pub(crate) fn of_path(path: &str) -> Self {
        if let Some(shape) = Self::of_usual(path) {
            return shape;
        }
        let has = |part: &str| path.contains(part);
        let mut segments = path.trim_end_matches('/').rsplit('/');
        let (last, before) = (segments.next(), segments.next());
        let verb = last.and_then(|last| Some(last.rsplit_once(':')?.1));
        if path.ends_with("/v1/messages") || has("/v1/messages/") {
            Self::Anthropic
        } else if has("/v2/models/")
            || before == Some("api")
            || (has("/v1/models/") && matches!(verb, Some("predict" | "explain")))
        {
            Self::Text
        } else if has("/model/") && last.is_some_and(is_of_bedrock) {
            Self::Bedrock
        } else if !has("/openai/")
            && (verb.is_some() || has("/v1beta/") || has("/v1alpha/") || has("/publishers/"))
            && ["/models", "/tunedModels", "/projects/", "/publishers/"]
                .into_iter()
                .any(has)
        {
            Self::Google
        } else if is_of_cohere(before, last) {
            Self::Cohere
        } else {
            Self::OpenAi
        }
    }
}

/// Whether the client is one of Anthropic's, whose `/v1/models` is also OpenAI's.
pub(crate) fn is_of_anthropic(headers: &HeaderMap) -> bool {
    headers.contains_key("anthropic-version")
}

/// Whether the client is one of Google's: its SDKs send the first header, and the second if they
/// have a key. (Their `/v1/models` is also OpenAI's.)
pub(crate) fn is_of_google(headers: &HeaderMap) -> bool {
    ["x-goog-api-client", "x-goog-api-key"]
        .into_iter()
        .any(|name| headers.contains_key(name))
}

/// Whether these are the last segments of a path of Cohere's API, which is v2.
fn is_of_cohere(before: Option<&str>, last: Option<&str>) -> bool {
    match before {
        Some("v2") => matches!(last, Some("chat" | "embed" | "parse" | "rerank")),
        Some("chat") => last == Some("render"),
        _ => false,
    }
}

/// Whether this is an operation of Bedrock's runtime, which follows
/// `/model/{model}/`.
fn is_of_bedrock(operation: &str) -> bool {
    matches!(
        operation,
        "invoke" | "invoke-with-response-stream" | "converse" | "converse-stream" | "count-tokens"
    )
}

/// What an [`Asker`] is made of, kept where hardly any request is answered.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    shape: Shape,
    id: Option<HeaderValue>,
    wants_head: bool,
}

impl Asked {
    pub(crate) fn by<B>(request: &Request<B>) -> Self {
        let shape = Shape::of(request.uri().path(), request.headers());
        Self::in_shape(shape, request)
    }

    /// The same where the shape is known.
    pub(crate) fn in_shape<B>(shape: Shape, request: &Request<B>) -> Self {
        Self {
            shape,
            id: given_request_id(request.headers()).cloned(),
            wants_head: request.method() == Method::HEAD,
        }
    }

    pub(crate) fn asker(&self) -> Asker {
        Asker::of(self.shape, self.id.as_ref(), self.wants_head)
    }
}

/// What an answer of ours has to know of the request that it answers.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    shape: Shape,
    id: HeaderValue,
    /// Whether the client has sent another id, or none.
    has_made_id: bool,
    wants_head: bool,
}

impl Asker {
    /// Who sent a request with this head, whose only `x-request-id` is `given`.
    pub(crate) fn with_id(head: &Parts, given: Option<&HeaderValue>) -> Self {
        let shape = Shape::of(head.uri.path(), &head.headers);
        Self::of(shape, given, head.method == Method::HEAD)
    }

    fn of(shape: Shape, given: Option<&HeaderValue>, wants_head: bool) -> Self {
        let own = own_request_id(given);
        Self {
            shape,
            wants_head,
            has_made_id: own.is_none(),
            id: own.cloned().unwrap_or_else(new_request_id),
        }
    }

    /// Whether the request is to get its id, which it did not come with.
    pub(crate) fn has_made_id(&self) -> bool {
        self.has_made_id
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// The request's id.
    pub(crate) fn id(&self) -> &HeaderValue {
        &self.id
    }

    /// The same for its answer, after which nobody asks any more.
    pub(crate) fn take_id(&mut self) -> HeaderValue {
        std::mem::replace(&mut self.id, HeaderValue::from_static(""))
    }

    /// What the client gets of an answer of ours: to HEAD all but the content (RFC 9110 section
    /// 9.3.2), which not every server leaves out (hyper does so over HTTP/1.1 only).
    pub(crate) fn asked_for(&self, response: Response<Bytes>) -> Response<Bytes> {
        if !self.wants_head {
            return response;
        }
        let (mut head, body) = response.into_parts();
        head.headers.insert(CONTENT_LENGTH, body.len().into());
        Response::from_parts(head, Bytes::new())
    }
}

impl RouteError {
    /// The answer to a client that requested `path`, with this error in its extensions.
    ///
    /// Its JSON has the shape of the path's API: Anthropic's, Google's, that of Ollama and KServe
    /// (`{"error": "text"}`), Bedrock's (`{"message": "text"}`, with the exception in
    /// `x-amzn-ErrorType`), Cohere's (`message` and `id`, beside OpenAI's `error`), or else OpenAI's.
    /// A 429 and a 503 have a `Retry-After`; a 401 has
    /// `WWW-Authenticate: Bearer`; a 415 lists the accepted encodings in `Accept-Encoding` (RFC
    /// 9110 section 15.5.16). It has a new id in `x-request-id`;
    /// [`to_response_to`](Self::to_response_to) uses the request's.
    pub fn to_response(&self, path: &str) -> Response<Bytes> {
        self.answer(&Asker::of(Shape::of_path(path), None, false))
    }

    /// Like [`to_response`](Self::to_response), for the whole `request`: the
    /// answer has the id in its `x-request-id`, if that is 1 to 128 visible
    /// ASCII characters, and on `/v1/models` Anthropic's clients get
    /// Anthropic's shape. To HEAD it has no content (RFC 9110 section 9.3.2).
    pub fn to_response_to<B>(&self, request: &Request<B>) -> Response<Bytes> {
        self.answer(&Asked::by(request).asker())
    }

    pub(crate) fn answer(&self, asker: &Asker) -> Response<Bytes> {
        let body = ErrorBody {
            status: self.status(),
            code: self.kind().code(),
            param: self.kind().param(),
            message: self.message(),
            id: &asker.id,
        };
        let mut response = Response::new(Bytes::from(body.json(asker.shape).to_string()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(X_REQUEST_ID, asker.id.clone());
        match asker.shape {
            // Its SDKs look for the id there.
            Shape::Anthropic => _ = headers.insert("request-id", asker.id.clone()),
            Shape::Bedrock => {
                let exception = HeaderValue::from_static(exception(self.status()));
                headers.insert("x-amzn-errortype", exception);
            }
            Shape::OpenAi | Shape::Google | Shape::Text | Shape::Cohere => {}
        }
        if let Some(wait) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if self.kind() == RouteErrorKind::Unauthorized {
            // RFC 9110 section 15.5.2 requires one.
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.kind() == RouteErrorKind::UnsupportedEncoding {
            headers.insert(
                ACCEPT_ENCODING,
                HeaderValue::from_static(ACCEPTED_ENCODINGS),
            );
        }
        response.extensions_mut().insert(self.clone());
        asker.asked_for(response)
    }
}

/// An error as its JSON has it, in any shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ErrorBody<'a> {
    pub(crate) status: StatusCode,
    pub(crate) code: &'a str,
    pub(crate) param: Option<&'a str>,
    pub(crate) message: &'a str,
    pub(crate) id: &'a HeaderValue,
}

impl ErrorBody<'_> {
    pub(crate) fn json(&self, shape: Shape) -> Value {
        match shape {
            Shape::OpenAi => self.openai(),
            Shape::Anthropic => self.anthropic(),
            Shape::Google => self.google(),
            Shape::Text => json!({"error": self.message}),
            Shape::Bedrock => json!({"message": self.message}),
            Shape::Cohere => self.cohere(),
        }
    }

    fn openai(&self) -> Value {
        let kind = match self.status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_client_error() => "invalid_request_error",
            _ => "server_error",
        };
        json!({"error": {
            "message": self.message,
            "type": kind,
            "param": self.param,
            "code": self.code,
        }})
    }

    fn cohere(&self) -> Value {
        let mut json = self.openai();
        json["message"] = self.message.into();
        json["id"] = String::from_utf8_lossy(self.id.as_bytes()).into();
        json
    }

    /// As in Google's `google.rpc.Status`, whose names are those of gRPC's codes.
    fn google(&self) -> Value {
        let status = match self.status {
            StatusCode::UNAUTHORIZED => "UNAUTHENTICATED",
            StatusCode::FORBIDDEN => "PERMISSION_DENIED",
            StatusCode::NOT_FOUND => "NOT_FOUND",
            StatusCode::TOO_MANY_REQUESTS => "RESOURCE_EXHAUSTED",
            StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => "DEADLINE_EXCEEDED",
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => "UNAVAILABLE",
            StatusCode::NOT_IMPLEMENTED => "UNIMPLEMENTED",
            status if status.is_client_error() => "INVALID_ARGUMENT",
            _ => "INTERNAL",
        };
        json!({"error": {
            "code": self.status.as_u16(),
            "message": self.message,
            "status": status,
        }})
    }

    fn anthropic(&self) -> Value {
        let kind = match self.status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::FORBIDDEN => "permission_error",
            StatusCode::NOT_FOUND => "not_found_error",
            StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
            StatusCode::GATEWAY_TIMEOUT => "timeout_error",
            status if status.is_client_error() => "invalid_request_error",
            _ => "api_error",
        };
        json!({
            "type": "error",
            "error": {"type": kind, "message": self.message},
            "request_id": String::from_utf8_lossy(self.id.as_bytes()),
        })
    }
}

/// The name that AWS's SDKs have for an error of Bedrock's runtime with this status.
fn exception(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "AccessDeniedException",
        StatusCode::NOT_FOUND => "ResourceNotFoundException",
        StatusCode::TOO_MANY_REQUESTS => "ThrottlingException",
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => "ModelTimeoutException",
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailableException",
        status if status.is_client_error() => "ValidationException",
        _ => "InternalServerException",
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
    fn anthropic_shape_on_messages_and_for_its_clients_on_models() {
        let error = RouteError::model_not_found("m");
        for (path, version) in [
            ("/v1/messages", None),
            ("/anthropic/v1/messages", None),
            ("/v1/messages/count_tokens", None),
            ("/v1/models/m", Some("2023-06-01")),
        ] {
            let mut request = Request::post(path).header("x-request-id", "req_7");
            if let Some(version) = version {
                request = request.header("anthropic-version", version);
            }
            let response = error.to_response_to(&request.body(()).unwrap());
            assert_eq!(response.headers()[X_REQUEST_ID], "req_7");
            assert_eq!(response.headers()["request-id"], "req_7", "for its SDKs");
            let body: Value = serde_json::from_slice(response.body()).unwrap();
            let expected = json!({
                "type": "error",
                "error": {
                    "type": "not_found_error",
                    "message": "the model `m` does not exist",
                },
                "request_id": "req_7",
            });
            assert_eq!(body, expected, "{path}");
        }
    }

    #[test]
    fn the_shape_is_that_of_the_paths_api() {
        let error = RouteError::model_not_found("m");
        let google = json!({"error": {
            "code": 404,
            "message": "the model `m` does not exist",
            "status": "NOT_FOUND",
        }});
        for path in [
            "/v1beta/models/m:generateContent",
            "/llm/v1/models/org/m:streamGenerateContent",
            "/v1alpha/tunedModels/m:generateContent",
            "/v1beta/models",
            "/v1beta1/publishers/google/models/m",
            "/v1/projects/p/locations/l/publishers/google/models/m:predict",
        ] {
            assert_eq!(body(&error, path), google, "{path}");
        }
        let text = json!({"error": "the model `m` does not exist"});
        for path in [
            "/api/chat",
            "/ollama/api/embed",
            "/v2/models/m/infer",
            "/v1/models/m:predict",
        ] {
            assert_eq!(body(&error, path), text, "{path}");
        }
        for path in [
            "/v1/chat/completions",
            "/v1beta/openai/chat/completions",
            "/openai/deployments/m/chat/completions",
            "/v1/models/m",
            "/",
            "",
            "*",
        ] {
            assert_eq!(
                body(&error, path)["error"]["code"],
                "model_not_found",
                "{path}"
            );
        }
    }

    #[test]
    fn googles_clients_have_their_shape_where_the_path_is_openais_too() {
        for name in ["x-goog-api-client", "x-goog-api-key"] {
            let request = Request::get("/v1/models/m").header(name, "x");
            let response =
                RouteError::model_not_found("m").to_response_to(&request.body(()).unwrap());
            let body: Value = serde_json::from_slice(response.body()).unwrap();
            assert_eq!(body["error"]["status"], "NOT_FOUND", "{name}");
        }
    }

    #[test]
    fn coheres_clients_find_the_message_beside_openais_error() {
        let error = RouteError::model_not_found("m");
        for path in [
            "/v2/chat",
            "/cohere/v2/chat/",
            "/cohere/v2/chat/render",
            "/v2/embed",
            "/v2/rerank",
        ] {
            let request = Request::post(path).header("x-request-id", "req_7");
            let response = error.to_response_to(&request.body(()).unwrap());
            let expected = json!({
                "error": {
                    "message": "the model `m` does not exist",
                    "type": "invalid_request_error",
                    "param": "model",
                    "code": "model_not_found",
                },
                "message": "the model `m` does not exist",
                "id": "req_7",
            });
            let body: Value = serde_json::from_slice(response.body()).unwrap();
            assert_eq!(body, expected, "{path}");
        }
        for path in ["/v1/rerank", "/v1/chat", "/v1/chat/completions/render"] {
            assert_eq!(body(&error, path).get("message"), None, "{path}");
        }
    }

    #[test]
    fn bedrocks_sdks_find_the_message_and_the_exception() {
        for (error, exception) in [
            (
                RouteError::model_not_found("m"),
                "ResourceNotFoundException",
            ),
            (RouteError::no_endpoint("m"), "ServiceUnavailableException"),
            (
                RouteError::new(RouteErrorKind::Unauthorized, "no"),
                "AccessDeniedException",
            ),
            (
                RouteError::new(RouteErrorKind::InvalidJson, "no"),
                "ValidationException",
            ),
        ] {
            for path in [
                "/model/m/converse",
                "/model/m/count-tokens",
                "/aws/model/arn:aws:x/y/invoke",
            ] {
                let response = error.to_response(path);
                assert_eq!(response.headers()["x-amzn-errortype"], exception);
                let expected = json!({"message": error.message()});
                assert_eq!(body(&error, path), expected, "{path}");
            }
        }
    }

    #[test]
    fn a_401_and_a_403_are_those_of_the_paths_api() {
        for (kind, anthropic, google) in [
            (
                RouteErrorKind::Unauthorized,
                "authentication_error",
                "UNAUTHENTICATED",
            ),
            (
                RouteErrorKind::Forbidden,
                "permission_error",
                "PERMISSION_DENIED",
            ),
        ] {
            let error = RouteError::new(kind, "no");
            let response = error.to_response("/v1/messages");
            assert_eq!(response.status(), kind.status());
            let challenge = response.headers().get(WWW_AUTHENTICATE);
            assert_eq!(
                challenge.is_some(),
                response.status() == StatusCode::UNAUTHORIZED
            );
            assert_eq!(body(&error, "/v1/messages")["error"]["type"], anthropic);
            let path = "/v1beta/models/m:generateContent";
            assert_eq!(body(&error, path)["error"]["status"], google);
            let openai = body(&error, "/v1/chat/completions");
            assert_eq!(openai["error"]["code"], kind.code());
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
