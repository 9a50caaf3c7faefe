//! One span a request, under the attribute names of OpenTelemetry's GenAI
//! conventions where they have one and `model_route.*` where they have not.
//!
//! Nothing of a prompt is recorded, nor of a body but the model's name.

use http::{HeaderValue, StatusCode, request::Parts};
use tracing::{Span, debug, field::Empty, info_span};

use crate::{
    error::{Excerpt, RouteError},
    route::RouteDecision,
};

/// The span of a request; open from its head until the answer's body has ended.
#[derive(Clone, Debug)]
pub(crate) struct RequestSpan(Span);

impl RequestSpan {
    pub(crate) fn new(head: &Parts, id: &HeaderValue) -> Self {
        let span = info_span!(
            "model_route",
            gen_ai.operation.name = Empty,
            gen_ai.request.model = Empty,
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

    pub(crate) fn routed(&self, decision: &RouteDecision) {
        if self.0.is_disabled() {
            return;
        }
        self.0
            .record(
                "gen_ai.request.model",
                Excerpt(decision.requested_model()).as_str(),
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
        self.0
            .record("http.response.status_code", status.as_u16())
            .record("model_route.attempts", decision.attempts());
        if decision.attempts() > 1 {
            self.routed(decision);
        }
        if let Some(error) = error {
            self.0.record("error.type", error.kind().code());
        }
    }

    pub(crate) fn rejected(&self, error: &RouteError) {
        self.0
            .record("http.response.status_code", error.status().as_u16())
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
