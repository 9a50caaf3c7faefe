//! One span a request and one in it for each attempt, under the attribute names of
//! OpenTelemetry's conventions (GenAI, HTTP) where they have one and `model_route.*` where they
//! have not.
//!
//! Nothing of a prompt is recorded, nor of a body but the model's name.

use http::{HeaderMap, HeaderValue, Method, StatusCode, request::Parts};
use tracing::{
    Span, debug,
    field::{Empty, display},
    info_span,
};

use super::context;
use crate::{
    error::{Excerpt, RouteError},
    route::RouteDecision,
    server::Outcome,
};

/// The span of a request; open from its head until the answer's body has ended.
#[derive(Clone, Debug)]
pub(crate) struct RequestSpan(Span);

impl Default for RequestSpan {
    fn default() -> Self {
        Self(Span::none())
    }
}

impl RequestSpan {
    pub(crate) fn new(head: &Parts, id: &HeaderValue) -> Self {
        let span = info_span!(
            "model_route",
            gen_ai.operation.name = Empty,
            gen_ai.request.model = Empty,
            model_route.requested_model = Empty,
            http.response.status_code = Empty,
            error.type = Empty,
            model_route.route = Empty,
            model_route.rule = Empty,
            model_route.server = Empty,
            model_route.endpoint = Empty,
            model_route.lora = Empty,
            model_route.attempts = Empty,
            model_route.request_id = Empty,
        );
        if !span.is_disabled() {
            context::adopt(&span, &head.headers);
            if let Some(operation) = operation(head.uri.path()) {
                span.record("gen_ai.operation.name", operation);
            }
            if let Ok(id) = id.to_str() {
                span.record("model_route.request_id", id);
            }
        }
        Self(span)
    }

    pub(crate) fn enter(&self) -> tracing::span::Entered<'_> {
        self.0.enter()
    }

    /// `path` is the client's.
    pub(crate) fn routed(&self, path: &str, decision: &RouteDecision) {
        if self.0.is_disabled() {
            return;
        }
        let requested = Excerpt(decision.requested_model());
        let operation = operation(path).unwrap_or("route");
        context::rename(&self.0, operation, Excerpt(decision.model()).as_str());
        self.0
            .record("model_route.requested_model", requested.as_str());
        self.sent_to(decision);
    }

    fn sent_to(&self, decision: &RouteDecision) {
        self.0
            .record(
                "gen_ai.request.model",
                Excerpt(decision.engine_model()).as_str(),
            )
            .record("model_route.route", decision.route())
            .record("model_route.rule", decision.rule())
            .record("model_route.server", decision.model_server())
            .record("model_route.endpoint", decision.endpoint())
            .record("model_route.lora", decision.is_lora());
    }

    /// `error` is ours where the engine has not answered.
    pub(crate) fn answered(
        &self,
        status: StatusCode,
        decision: &RouteDecision,
        error: Option<&RouteError>,
    ) {
        if self.0.is_disabled() {
            return;
        }
        self.0
            .record("http.response.status_code", number(status))
            .record("model_route.attempts", i64::from(decision.attempts()));
        if decision.attempts() > 1 {
            self.sent_to(decision);
        }
        if let Some(error) = error {
            self.0.record("error.type", error.kind().code());
        }
    }

    pub(crate) fn rejected(&self, error: &RouteError) {
        self.0
            .record("http.response.status_code", number(error.status()))
            .record("error.type", error.kind().code());
        debug!(
            parent: &self.0,
            status = error.status().as_u16(),
            code = error.kind().code(),
            reason = error.message(),
            "request rejected"
        );
    }
}

/// The span of one attempt, in that of its request: from the call of the client to the
/// answer's head.
#[derive(Debug)]
pub(crate) struct AttemptSpan(Span);

impl AttemptSpan {
    /// `decision` is asked for only if anybody wants the span. Its context goes into `headers`
    /// with the feature `opentelemetry`.
    pub(crate) fn new(
        method: &Method,
        headers: &mut HeaderMap,
        decision: impl FnOnce() -> RouteDecision,
    ) -> Self {
        let span = info_span!(
            target: "tower_model_route::attempt",
            "model_route.attempt",
            otel.kind = "client",
            otel.status_code = Empty,
            http.request.method = method.as_str(),
            http.request.resend_count = Empty,
            gen_ai.request.model = Empty,
            server.address = Empty,
            server.port = Empty,
            model_route.server = Empty,
            model_route.endpoint = Empty,
            http.response.status_code = Empty,
            error.type = Empty,
        );
        if !span.is_disabled() {
            let decision = decision();
            let (host, port) = decision.address().host_and_port();
            span.record(
                "gen_ai.request.model",
                Excerpt(decision.engine_model()).as_str(),
            )
            .record("server.address", host)
            .record("server.port", i64::from(port))
            .record("model_route.server", decision.model_server())
            .record("model_route.endpoint", decision.endpoint());
            if decision.attempts() > 1 {
                span.record(
                    "http.request.resend_count",
                    i64::from(decision.attempts() - 1),
                );
            }
            context::inject(&span, headers);
        }
        Self(span)
    }

    /// The span of a request that is not routed.
    pub(crate) fn none() -> Self {
        Self(Span::none())
    }

    pub(crate) fn enter(&self) -> tracing::span::Entered<'_> {
        self.0.enter()
    }

    /// `status` is that of the answer, if there is one.
    pub(crate) fn ended(&self, status: Option<StatusCode>, outcome: Outcome) {
        if self.0.is_disabled() {
            return;
        }
        match status {
            Some(status) => {
                self.0.record("http.response.status_code", number(status));
                if status.is_server_error() {
                    self.0.record("error.type", status.as_str());
                }
            }
            None => {
                self.0.record("error.type", display(outcome));
            }
        }
        if status.is_none_or(|status| status.is_server_error()) {
            self.0.record("otel.status_code", "ERROR");
        }
    }
}

/// As OpenTelemetry's layer takes numbers: unsigned ones become strings there.
fn number(status: StatusCode) -> i64 {
    i64::from(status.as_u16())
}

/// The well-known values of `gen_ai.operation.name`.
fn operation(path: &str) -> Option<&'static str> {
    let path = path.trim_end_matches('/');
    if path.ends_with("/chat/completions") || path.ends_with("/messages") {
        Some("chat")
    } else if path.ends_with("/completions") {
        Some("text_completion")
    } else if path.ends_with("/embeddings") {
        Some("embeddings")
    } else {
        None
    }
}
