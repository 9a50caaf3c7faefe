//! What an [`Observer`](super::Observer) is told.

use std::{fmt, time::Duration};

use http::{Extensions, HeaderValue, Method, StatusCode, Uri, Version};
use tokio::time::Instant;

use super::operation::Operation;
use crate::{
    error::RouteError,
    events::{Made, Usage},
    route::RouteDecision,
    server::Outcome,
};

/// What is known about a request from its head.
#[derive(Debug)]
pub struct RequestFacts {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) version: Version,
    pub(super) id: HeaderValue,
    pub(super) operation: Operation,
    pub(super) begun: Instant,
    pub(super) notes: Extensions,
}

impl RequestFacts {
    /// The client's method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The client's path, without the query, which may contain keys.
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// The client's URI.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The operation, in terms of OpenTelemetry's `gen_ai.operation.name`: `chat`,
    /// `text_completion`, `embeddings`, `generate_content`; `None` for anything else.
    pub fn operation(&self) -> Option<&'static str> {
        self.operation.name()
    }

    /// The protocol that the client speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The request's id, the client's or a generated one. It is in `x-request-id` of the request to
    /// the engine and of the answer.
    pub fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    /// How long ago it arrived.
    pub fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// What observers have put there in [`received`](super::Observer::received).
    pub fn notes(&self) -> &Extensions {
        &self.notes
    }
}

/// One attempt to get an answer from an engine.
#[derive(Debug)]
pub struct AttemptFacts<'a> {
    pub(super) request: &'a RequestFacts,
    pub(super) decision: &'a RouteDecision,
    pub(super) after: Option<AttemptOutcome>,
    pub(super) ended: Option<(AttemptOutcome, Duration)>,
}

impl<'a> AttemptFacts<'a> {
    /// The request.
    pub fn request(&self) -> &'a RequestFacts {
        self.request
    }

    /// Where the attempt goes; [`attempts`](RouteDecision::attempts) is its number, from 1.
    pub fn decision(&self) -> &'a RouteDecision {
        self.decision
    }

    /// Why it is made, if it is not the first: how the previous one ended.
    pub fn retried_after(&self) -> Option<AttemptOutcome> {
        self.after
    }

    /// How it ended; `None` when it begins.
    pub fn outcome(&self) -> Option<AttemptOutcome> {
        self.ended.map(|(outcome, _)| outcome)
    }

    /// From its beginning to its end, which is the head of an answer if there is one; `None` when it
    /// begins.
    pub fn duration(&self) -> Option<Duration> {
        self.ended.map(|(_, duration)| duration)
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AttemptOutcome(pub(super) Outcome);

impl AttemptOutcome {
    /// The status of the engine's answer, if it answered.
    pub fn status(self) -> Option<StatusCode> {
        match self.0 {
            Outcome::Answered(status) | Outcome::Full(status, _) | Outcome::Declined(status, _) => {
                Some(status)
            }
            _ => None,
        }
    }

    /// Whether it proves that the engine works: an answer other than 500, 502, 503 and 504, or one
    /// saying that the engine is full.
    pub fn is_success(self) -> bool {
        self.0.is_success()
    }

    /// One word of a fixed set, for a label: `answered`, `full`, `declined`, `not_connected`, `not_processed`,
    /// `stale`, `lost`, `failed`, `timed_out`, `out_of_time`, `shed`, `client`.
    pub fn code(self) -> &'static str {
        match self.0 {
            Outcome::Answered(_) => "answered",
            Outcome::Full(..) => "full",
            Outcome::Declined(..) => "declined",
            Outcome::NotConnected => "not_connected",
            Outcome::NotProcessed => "not_processed",
            Outcome::Stale => "stale",
            Outcome::Lost => "lost",
            Outcome::Failed => "failed",
            Outcome::TimedOut => "timed_out",
            Outcome::OutOfTime => "out_of_time",
            Outcome::Shed => "shed",
            Outcome::ClientFailed => "client",
        }
    }
}

/// In words, for people.
impl fmt::Display for AttemptOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for AttemptOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndKind {
    /// The client got a complete answer with a status below 400.
    Ok,
    /// The answer is an error, the gateway's own or the engine's, by its status or by an event of
    /// its stream; or there is none, because a service below failed.
    Error,
    /// The client disconnected before the end of its answer.
    ClientGone,
    /// The engine's answer broke off, ended too early, or stalled.
    Interrupted,
}

impl EndKind {
    /// One word, for a label: `ok`, `error`, `client_gone`, `interrupted`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::ClientGone => "client_gone",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A limit's decision about a request.
#[derive(Clone, Copy, Debug)]
pub struct LimitFacts<'a> {
    pub(crate) name: &'a str,
    pub(crate) route: &'a str,
    pub(crate) verdict: LimitVerdict,
    pub(crate) store: &'static str,
}

impl<'a> LimitFacts<'a> {
    /// The limit as text, such as `60 requests per minute and header "x-api-key"`.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The name of the ModelRoute.
    pub fn route(&self) -> &'a str {
        self.route
    }

    /// The decision.
    pub fn verdict(&self) -> LimitVerdict {
        self.verdict
    }

    /// Where it was made, in one word: `memory`, `store`, or what stands in for a failing store:
    /// `local`, `open` or `closed`.
    pub fn store(&self) -> &'static str {
        self.store
    }
}

/// The decision of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitVerdict {
    /// The request goes on.
    Allowed,
    /// It is answered with 429.
    Refused,
    /// It would be refused, but goes on because the limit only observes.
    Observed,
}

impl LimitVerdict {
    /// One word, for a label: `allowed`, `refused`, `observed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
            Self::Observed => "observed",
        }
    }
}

/// The times of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Times {
    /// From the head's arrival until enough of the body was received to route it; the whole time
    /// if that never happened.
    pub receive: Duration,
    /// In the queue, for an endpoint with room.
    pub queue: Duration,
    /// From the request's arrival to the head of its answer.
    pub to_head: Option<Duration>,
    /// From the request's arrival to the first event with content; only for streams that were
    /// read.
    pub to_first_content: Option<Duration>,
    /// From one output token to the next, on average: from the first content to the end, divided by
    /// the number of tokens after the first, or of events if no usage is reported.
    pub per_output_token: Option<Duration>,
    /// The same for the events with content.
    pub per_output_event: Option<Duration>,
    /// From the request's arrival to its end.
    pub total: Duration,
}

/// The code of an error that the engine has answered with.
pub(super) const ENGINE_ERROR: &str = "engine_error";

/// Everything about a request that has ended.
#[derive(Debug)]
pub struct EndFacts<'a> {
    pub(super) request: &'a RequestFacts,
    pub(super) kind: EndKind,
    pub(super) status: Option<StatusCode>,
    pub(super) error: Option<&'a RouteError>,
    pub(super) decision: Option<&'a RouteDecision>,
    pub(super) ruled: Option<Ruled<'a>>,
    pub(super) requested_model: Option<&'a str>,
    pub(super) answered: bool,
    pub(super) is_read: bool,
    pub(super) is_stream: bool,
    pub(super) usage: Usage,
    pub(super) totals: (Option<u64>, Option<u64>),
    pub(super) is_final: bool,
    pub(super) contents: u64,
    pub(super) bytes: u64,
    pub(super) times: Times,
}

/// What is known once the rule is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ruled<'a> {
    pub(super) model: &'a str,
    pub(super) route: &'a str,
    pub(super) rule: &'a str,
}

impl<'a> EndFacts<'a> {
    /// The request.
    pub fn request(&self) -> &'a RequestFacts {
        self.request
    }

    /// How it has ended.
    pub fn kind(&self) -> EndKind {
        self.kind
    }

    /// The status of the answer; `None` if there was none yet, or a service below failed. (A
    /// client that was sent comments while it waited has seen a 200, whatever came later.)
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// The gateway's own error, if it answered with one.
    pub fn error(&self) -> Option<&'a RouteError> {
        self.error
    }

    /// What went wrong, in one word of a fixed set: the code of the gateway's own error
    /// ([`RouteErrorKind::code`](crate::RouteErrorKind::code)), or `engine_error`, `client_gone`,
    /// `stream_interrupted`; `None` if nothing did.
    pub fn error_code(&self) -> Option<&'static str> {
        match (self.error, self.kind) {
            (Some(error), _) => Some(error.kind().code()),
            (None, EndKind::Ok) => None,
            (None, EndKind::Error) => Some(ENGINE_ERROR),
            (None, EndKind::ClientGone) => Some("client_gone"),
            (None, EndKind::Interrupted) => Some("stream_interrupted"),
        }
    }

    /// The decision of the attempt that brought the answer, or of the last one; `None` if the
    /// request was not sent to an engine.
    pub fn decision(&self) -> Option<&'a RouteDecision> {
        self.decision
    }

    /// The model name by which the request was routed, which is in the table; `None` if no rule
    /// matches. Only such a name belongs in a label.
    pub fn model(&self) -> Option<&'a str> {
        self.ruled.map(|ruled| ruled.model)
    }

    /// The name of the ModelRoute, if a rule matches.
    pub fn route(&self) -> Option<&'a str> {
        self.ruled.map(|ruled| ruled.route)
    }

    /// The name of the rule that matches.
    pub fn rule(&self) -> Option<&'a str> {
        self.ruled.map(|ruled| ruled.rule)
    }

    /// The model name that the client asked for, if it is known. It may be any string of up to 4
    /// KiB.
    pub fn requested_model(&self) -> Option<&'a str> {
        self.requested_model
    }

    /// Whether the answer is an engine's.
    pub fn is_answered(&self) -> bool {
        self.answered
    }

    /// How often it was sent to an engine.
    pub fn attempts(&self) -> u32 {
        self.decision.map_or(0, RouteDecision::attempts)
    }

    /// Whether the answer is a stream of events.
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Whether the answer's events were read: it is JSON or a stream of events, and not compressed.
    pub fn is_read(&self) -> bool {
        self.is_read
    }

    /// The tokens that the engine reported, as it reported them, without impossible counts.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Whether the usage is final and complete: the engine reported it at the end of its answer,
    /// with the input and the output (embeddings and the like have none). If not, it is a lower
    /// bound, or there is none.
    pub fn is_exact(&self) -> bool {
        let (input, output) = self.totals;
        let has_output = || output.is_some() || Made::by(self.request.path()) == Made::Numbers;
        self.is_final && input.is_some() && has_output()
    }

    /// Whether what is reported of the usage is final, be it all of it or not.
    pub(crate) fn is_final(&self) -> bool {
        self.is_final
    }

    /// The tokens that were read and those that were made, as far as they are reported.
    pub(crate) fn totals(&self) -> (Option<u64>, Option<u64>) {
        self.totals
    }

    /// All input tokens, if reported, including those read from or written to a cache, which
    /// Anthropic counts separately. This follows the GenAI conventions.
    pub fn input_tokens(&self) -> Option<u64> {
        self.totals.0
    }

    /// All output tokens, including thoughts, which Gemini counts separately: the reported number
    /// if it is final, else an estimate, the larger of what was reported so far and the number of
    /// events with content. 0 for an error.
    pub fn output_tokens(&self) -> u64 {
        match self.totals.1 {
            Some(reported) if self.is_final || !self.is_stream => reported,
            reported if self.is_stream => reported.unwrap_or_default().max(self.contents),
            _ => 0,
        }
    }

    /// The number of events with content: usually one for each token, or for a few tokens. An
    /// answer that is not a stream has one.
    pub fn contents(&self) -> u64 {
        self.contents
    }

    /// The bytes of the engine's answer that were forwarded.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The times.
    pub fn times(&self) -> &Times {
        &self.times
    }
}
