//! A span for each request, and within it one for each attempt, under the attribute names of
//! OpenTelemetry's conventions (GenAI, HTTP) if they have one, and `model_route.*` otherwise.
//!
//! No part of a prompt is recorded, nor any of a body except the model's name.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, request::Parts};
use tracing::{
    Level, Span, debug,
    field::{Empty, display},
    level_filters::LevelFilter,
    record_all, span,
    span::EnteredSpan,
};

use super::{context, facts::EndFacts, operation::Operation};
use crate::{
    error::{Asker, Excerpt, RouteError},
    route::RouteDecision,
    server::Outcome,
};

/// The level of the spans of a request and of its attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanLevel {
    /// INFO, which production subscribers record: for traces.
    Info,
    /// DEBUG, as those of tower-http are.
    #[default]
    Debug,
    /// TRACE.
    Trace,
    /// No spans.
    Off,
}

impl SpanLevel {
    /// Whether any subscriber has spans of this level. Where none is set but `log` gets what tracing
    /// says, as axum's defaults have it, a span would be made for nobody: 300 instructions.
    fn is_wanted(self) -> bool {
        let most = LevelFilter::current();
        match self {
            Self::Info => most >= LevelFilter::INFO,
            Self::Debug => most >= LevelFilter::DEBUG,
            Self::Trace => most >= LevelFilter::TRACE,
            Self::Off => false,
        }
    }
}

/// The span of a request; open from its head until the answer's body has ended. What is not known
/// from the head is recorded at the end, at once.
#[derive(Debug)]
pub(crate) struct RequestSpan(Span);

impl Default for RequestSpan {
    fn default() -> Self {
        Self(Span::none())
    }
}

impl RequestSpan {
    pub(super) fn new(level: SpanLevel, head: &Parts, asker: &Asker) -> Self {
        if !level.is_wanted() {
            return Self::default();
        }
        let (operation, id) = (Operation::new(asker.shape(), head.uri.path()), asker.id());
        macro_rules! at {
            ($level:expr) => {
                span!(
                    $level,
                    "model_route",
                    model_route.request_id = id.to_str().ok(),
                    http.request.method = head.method.as_str(),
                    url.path = Excerpt(head.uri.path()).as_str(),
                    gen_ai.operation.name = operation.name(),
                    gen_ai.provider.name = operation.provider(),
                    gen_ai.request.model = Empty,
                    gen_ai.response.time_to_first_chunk = Empty,
                    gen_ai.usage.input_tokens = Empty,
                    gen_ai.usage.output_tokens = Empty,
                    gen_ai.usage.cache_read.input_tokens = Empty,
                    gen_ai.usage.cache_creation.input_tokens = Empty,
                    gen_ai.usage.reasoning.output_tokens = Empty,
                    http.response.status_code = Empty,
                    error.type = Empty,
                    model_route.requested_model = Empty,
                    model_route.route = Empty,
                    model_route.rule = Empty,
                    model_route.server = Empty,
                    model_route.endpoint = Empty,
                    model_route.endpoint_name = Empty,
                    model_route.lora = Empty,
                    model_route.attempts = Empty,
                    model_route.end = Empty,
                    model_route.receive_seconds = Empty,
                    model_route.queue_seconds = Empty,
                    model_route.head_seconds = Empty,
                    model_route.seconds = Empty,
                )
            };
        }
        let span = match level {
            SpanLevel::Info => at!(Level::INFO),
            SpanLevel::Debug => at!(Level::DEBUG),
            SpanLevel::Trace => at!(Level::TRACE),
            SpanLevel::Off => Span::none(),
        };
        if !span.is_disabled() {
            context::adopt(&span, &head.headers);
        }
        Self(span)
    }

    /// Whether anybody wants it.
    pub(super) fn is_on(&self) -> bool {
        !self.0.is_disabled()
    }

    pub(super) fn entered(&self) -> EnteredSpan {
        self.0.clone().entered()
    }

    pub(super) fn rejected(&self, error: &RouteError) {
        debug!(
            parent: &self.0,
            status = error.status().as_u16(),
            code = error.kind().code(),
            reason = error.message(),
            "request rejected"
        );
    }

    /// The end, with all that is known by then.
    pub(super) fn ended(&self, end: &EndFacts<'_>) {
        if self.0.is_disabled() {
            return;
        }
        let decision = end.decision();
        let model = end.model().map(Excerpt);
        if let Some(model) = &model {
            let operation = end.request().operation().unwrap_or("route");
            context::rename(&self.0, operation, model.as_str());
        }
        let requested = end.requested_model().map(Excerpt);
        let engine_model = decision.map(|to| Excerpt(to.engine_model()));
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        let (times, usage) = (end.times(), end.usage());
        let (input, output) = end.totals();
        let count = |count: Option<u64>| count.and_then(|count| i64::try_from(count).ok());
        record_all!(
            self.0,
            model_route.requested_model = requested.as_ref().map(Excerpt::as_str),
            gen_ai.request.model = engine_model.as_ref().map(Excerpt::as_str),
            model_route.route = end.route(),
            model_route.rule = end.rule(),
            model_route.server = decision.map(RouteDecision::model_server),
            model_route.endpoint = decision.map(RouteDecision::endpoint),
            model_route.endpoint_name = decision.and_then(RouteDecision::endpoint_name),
            model_route.lora = decision.map(RouteDecision::is_lora),
            model_route.attempts = decision.map(|to| i64::from(to.attempts())),
            http.response.status_code = end.status().map(number),
            error.type = end.error().map(|error| error.kind().code()),
            model_route.end = end.kind().as_str(),
            gen_ai.usage.input_tokens = count(input),
            gen_ai.usage.output_tokens = count(output),
            gen_ai.usage.cache_read.input_tokens = count(usage.cached),
            gen_ai.usage.cache_creation.input_tokens = count(usage.cache_written),
            gen_ai.usage.reasoning.output_tokens = count(usage.reasoning),
            gen_ai.response.time_to_first_chunk = seconds(times.to_first_content),
            model_route.receive_seconds = times.receive.as_secs_f64(),
            model_route.queue_seconds = times.queue.as_secs_f64(),
            model_route.head_seconds = seconds(times.to_head),
            model_route.seconds = times.total.as_secs_f64(),
        );
    }
}

/// The span of one attempt, in that of its request: from the call of the client to the
/// answer's head.
#[derive(Debug)]
pub(crate) struct AttemptSpan(Span);

/// A span's level is a constant of its place.
macro_rules! attempt_span {
    ($level:expr, $method:expr) => {
        span!(
            target: "tower_model_route::attempt",
            $level,
            "model_route.attempt",
            otel.kind = "client",
            otel.status_code = Empty,
            http.request.method = $method.as_str(),
            http.request.resend_count = Empty,
            gen_ai.request.model = Empty,
            server.address = Empty,
            server.port = Empty,
            model_route.server = Empty,
            model_route.endpoint = Empty,
            model_route.endpoint_name = Empty,
            http.response.status_code = Empty,
            error.type = Empty,
        )
    };
}

impl AttemptSpan {
    /// `decision` is asked for only if anybody wants the span. Its context goes into `headers`
    /// with the feature `opentelemetry`.
    pub(crate) fn new(
        level: SpanLevel,
        method: &Method,
        headers: &mut HeaderMap,
        decision: impl FnOnce() -> RouteDecision,
    ) -> Self {
        if !level.is_wanted() {
            return Self::none();
        }
        let span = match level {
            SpanLevel::Info => attempt_span!(Level::INFO, method),
            SpanLevel::Debug => attempt_span!(Level::DEBUG, method),
            SpanLevel::Trace => attempt_span!(Level::TRACE, method),
            SpanLevel::Off => Span::none(),
        };
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
            .record("model_route.endpoint", decision.endpoint())
            .record("model_route.endpoint_name", decision.endpoint_name());
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
