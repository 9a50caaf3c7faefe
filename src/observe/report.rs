//! What one request reports to its listeners. (The design is in [observer](super::observer).)

use std::{fmt, sync::Arc, time::Duration};

use http::{Extensions, StatusCode, request::Parts};
use tokio::time::Instant;
use tracing::span::EnteredSpan;

use super::{
    attempts::AttemptReport,
    facts::{EndFacts, EndKind, LimitFacts, RequestFacts, Ruled, Times},
    listening::Listening,
    observer::Observers,
    operation::Operation,
    trace::{RequestSpan, SpanLevel},
};
use crate::{
    error::{Asker, RouteError},
    events::{Dialect, Kinds, Reader, Usage},
    model::ExtractedModel,
    route::{CompiledTable, RouteDecision, Selection},
};

/// Is told how a request ended, once, before all observers, even if there are none.
pub(crate) trait Settle: Send + Sync {
    /// Whether the answer's events are to be read for it.
    fn reads_answer(&self) -> bool;

    fn settle(self: Box<Self>, end: &EndFacts<'_>);
}

/// What one request tells. Dropping it tells the end.
#[derive(Debug, Default)]
pub(crate) struct Report(
    /// `None` if nobody listens.
    Option<Box<Told>>,
);

struct Told {
    span: RequestSpan,
    listening: Arc<Listening>,
    ruled: Option<(Arc<CompiledTable>, Selection)>,
    /// If it is not the one of the table.
    requested: Option<Box<str>>,
    decision: Option<RouteDecision>,
    received: Option<Instant>,
    /// When it began to wait for an endpoint, if it had to.
    queued: Option<Instant>,
    sent: Option<Instant>,
    head: Option<Instant>,
    content: Option<Instant>,
    status: Option<StatusCode>,
    error: Option<RouteError>,
    /// `None` until it is known otherwise than by the drop.
    kind: Option<EndKind>,
    answered: bool,
    /// Whether the answer's events are read.
    is_read: bool,
    is_stream: bool,
    /// Whether the client has all that the dialect has at an end.
    is_whole: bool,
    /// Whether the usage is final.
    is_final: bool,
    /// As given.
    usage: Usage,
    contents: u64,
    bytes: u64,
    settle: Option<Box<dyn Settle>>,
}

impl Report {
    /// Of a request with this head, if anybody listens.
    pub(crate) fn new(
        level: SpanLevel,
        observers: &Observers,
        head: &Parts,
        asker: &Asker,
    ) -> Self {
        let span = RequestSpan::new(level, head, asker);
        if observers.is_empty() && !span.is_on() {
            return Self(None);
        }
        let mut notes = Extensions::new();
        observers.tell(|observer| observer.received(head, &mut notes));
        let told = Told::new(span, observers.clone(), head, asker, notes);
        Self(Some(told))
    }

    /// Within the request's span, if it has one.
    pub(crate) fn entered(&self) -> Option<EnteredSpan> {
        Some(self.0.as_ref()?.span.entered())
    }

    /// Lets `settle` hear of the end.
    pub(crate) fn settled_by(&mut self, settle: Box<dyn Settle>, head: &Parts, asker: &Asker) {
        let told = self.0.get_or_insert_with(|| {
            let (span, nobody) = (RequestSpan::default(), Observers::default());
            Told::new(span, nobody, head, asker, Extensions::new())
        });
        told.settle = Some(settle);
    }

    /// A limit has said this.
    pub(crate) fn limited(&self, limit: &LimitFacts<'_>) {
        if let Some(told) = &self.0 {
            let Listening { request, observers } = &*told.listening;
            observers.tell(|observer| observer.limited(request, limit));
        }
    }

    /// The rule is known.
    pub(crate) fn ruled(
        &mut self,
        table: &Arc<CompiledTable>,
        selection: Selection,
        model: &ExtractedModel,
    ) {
        let Some(told) = &mut self.0 else { return };
        told.received = Some(Instant::now());
        told.ruled = Some((Arc::clone(table), selection));
        let asked = model.asked();
        told.requested = (asked != table.requested(selection)).then(|| asked.into());
    }

    /// The request begins to wait in the queue.
    pub(crate) fn queued(&mut self) {
        if let Some(told) = &mut self.0 {
            told.queued = told.sent.take().or(told.received);
        }
    }

    /// The request has waited for a store of limits, or in the queue, and goes on.
    pub(crate) fn waited(&mut self) {
        if let Some(told) = &mut self.0 {
            told.sent = Some(Instant::now());
        }
    }

    /// The request is about to be sent to an engine. Returns what tells of its attempts.
    pub(crate) fn sent(&mut self, decision: &RouteDecision) -> Option<AttemptReport> {
        let told = self.0.as_mut()?;
        let now = told.sent.or(told.received).unwrap_or_else(Instant::now);
        told.sent = Some(now);
        told.decision = Some(decision.clone());
        let Listening { request, observers } = &*told.listening;
        observers.tell(|observer| observer.decided(request, decision));
        let listening = Arc::clone(&told.listening);
        (!observers.is_empty()).then(|| AttemptReport::new(listening, now))
    }

    /// The gateway answers itself.
    pub(crate) fn rejected(&mut self, error: &RouteError) {
        let Some(told) = &mut self.0 else { return };
        told.span.rejected(error);
        told.status = Some(error.status());
        told.kind = Some(EndKind::Error);
        let Listening { request, observers } = &*told.listening;
        observers.tell(|observer| observer.rejected(request, error));
        told.error = Some(error.clone());
    }

    /// The gateway answers itself, and well.
    pub(crate) fn served(&mut self, status: StatusCode) {
        let Some(told) = &mut self.0 else { return };
        told.status = Some(status);
        told.kind = Some(EndKind::Ok);
    }

    /// The client got a head before there is an answer.
    pub(crate) fn opened(&mut self) {
        if let Some(told) = &mut self.0 {
            told.status = Some(StatusCode::OK);
        }
    }

    /// A service below has failed, and nobody has made an answer of it.
    pub(crate) fn failed<A, E>(&mut self, error: E) -> Result<A, E> {
        if let Some(told) = &mut self.0 {
            told.kind = Some(EndKind::Error);
        }
        Err(error)
    }

    /// There is no answer of an engine's; `decision` is that of the last attempt.
    pub(crate) fn unanswered(&mut self, decision: impl FnOnce() -> RouteDecision) {
        if let Some(told) = &mut self.0 {
            told.decision = Some(decision());
        }
    }

    /// There is an answer, to a request that was not routed.
    pub(crate) fn forwarded(&mut self, status: StatusCode) {
        if let Some(told) = &mut self.0 {
            told.head = Some(Instant::now());
            told.status = Some(status);
            told.answered = true;
        }
    }

    /// There is an answer; `error` is ours where the engine has not answered.
    pub(crate) fn answered(
        &mut self,
        status: StatusCode,
        decision: &RouteDecision,
        error: Option<&RouteError>,
    ) {
        let Some(told) = &mut self.0 else { return };
        told.head = Some(Instant::now());
        told.status = Some(status);
        told.answered = error.is_none();
        told.error = error.cloned();
        told.decision = Some(decision.clone());
    }

    /// Whether the answer's events are to be read.
    pub(crate) fn reads_answer(&self) -> bool {
        self.0.as_ref().is_some_and(|told| told.reads_answer())
    }

    /// Bytes of the answer have come.
    pub(crate) fn passed(&mut self, bytes: usize) {
        if let Some(told) = &mut self.0 {
            told.bytes += bytes as u64;
        }
    }

    /// Events of these kinds have been read since the last time.
    pub(crate) fn read(&mut self, reader: &Reader, kinds: Kinds) {
        if let Some(told) = &mut self.0 {
            told.read(reader, kinds);
        }
    }

    /// The answer has come to its end like this; an error in it counts before that.
    pub(crate) fn ended(&mut self, kind: EndKind) {
        if let Some(told) = &mut self.0 {
            told.kind.get_or_insert(kind);
        }
    }
}

impl Told {
    fn new(
        span: RequestSpan,
        observers: Observers,
        head: &Parts,
        asker: &Asker,
        notes: Extensions,
    ) -> Box<Self> {
        let request = RequestFacts {
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            id: asker.id().clone(),
            operation: Operation::new(asker.shape(), head.uri.path()),
            begun: Instant::now(),
            notes,
        };
        Box::new(Self {
            span,
            listening: Arc::new(Listening { request, observers }),
            ruled: None,
            requested: None,
            decision: None,
            received: None,
            queued: None,
            sent: None,
            head: None,
            content: None,
            status: None,
            error: None,
            kind: None,
            answered: false,
            is_read: false,
            is_stream: false,
            is_whole: false,
            is_final: false,
            usage: Usage::default(),
            contents: 0,
            bytes: 0,
            settle: None,
        })
    }

    fn reads_answer(&self) -> bool {
        let settle = self.settle.as_ref();
        settle.is_some_and(|settle| settle.reads_answer())
            || self.span.is_on()
            || self.listening.observers.read_answers()
    }

    fn read(&mut self, reader: &Reader, kinds: Kinds) {
        self.contents = reader.contents();
        self.is_read = true;
        self.is_stream = reader.is_stream();
        if self.is_stream && self.content.is_none() && self.contents > 0 {
            self.content = Some(Instant::now());
            let Listening { request, observers } = &*self.listening;
            observers.tell(|observer| observer.first_content(request));
        }
        if kinds.has(Kinds::ERROR) {
            self.kind = Some(EndKind::Error);
        }
        let seen = reader.seen();
        let has_finished = seen.has(Kinds::FINISH) || seen.has(Kinds::TERMINAL);
        if kinds.has(Kinds::USAGE) {
            self.usage = *reader.usage();
        }
        self.is_final = reader.has_final_usage();
        self.is_whole =
            seen.has(Kinds::TERMINAL) || (has_finished && reader.dialect() == Dialect::Gemini);
    }

    /// How it has ended, where nobody has said so: it was dropped.
    fn kind(&self) -> EndKind {
        let is_error = self
            .status
            .is_some_and(|status| status.is_client_error() || status.is_server_error());
        match self.kind {
            Some(EndKind::Ok) | None if is_error => EndKind::Error,
            Some(kind) => kind,
            None if self.is_whole => EndKind::Ok,
            // A service below has.
            None if std::thread::panicking() => EndKind::Error,
            None => EndKind::ClientGone,
        }
    }

    fn times(&self, usage: &Usage) -> Times {
        let now = Instant::now();
        let begun = self.listening.request.begun;
        let since = |at: Instant| at.saturating_duration_since(begun);
        let total = since(now);
        let receive = self.received.map_or(total, since);
        let left = self.sent.unwrap_or(now);
        Times {
            receive,
            queue: self.queued.map_or(Duration::ZERO, |queued| {
                left.saturating_duration_since(queued)
            }),
            to_head: self.head.map(since),
            to_first_content: self.content.map(since),
            per_output_token: self.per_output(now, usage.output.filter(|_| self.is_final)),
            per_output_event: self.per_output(now, None),
            total,
        }
    }

    /// For this many tokens, or for the events with content.
    fn per_output(&self, now: Instant, tokens: Option<u64>) -> Option<Duration> {
        let behind_first = tokens.unwrap_or(self.contents).checked_sub(1)?;
        let generation = now.saturating_duration_since(self.content?);
        generation.checked_div(u32::try_from(behind_first).ok()?)
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let ruled = self.ruled.as_ref().map(|(table, selection)| Ruled {
            model: table.requested(*selection),
            route: table.route_name(*selection),
            rule: &table.rule(*selection).name,
        });
        let asked = self.error.as_ref().and_then(RouteError::model);
        let requested = self.requested.as_deref();
        let requested_model = requested.or(ruled.map(|ruled| ruled.model)).or(asked);
        let settle = self.settle.take();
        let Listening { request, observers } = &*self.listening;
        let usage = self.usage.believed();
        let end = EndFacts {
            request,
            kind: self.kind(),
            status: self.status,
            error: self.error.as_ref(),
            decision: self.decision.as_ref(),
            ruled,
            requested_model,
            answered: self.answered,
            is_read: self.is_read,
            is_stream: self.is_stream,
            usage,
            totals: self.usage.totals(request.operation.dialect()),
            is_final: self.is_final,
            contents: self.contents,
            bytes: self.bytes,
            times: self.times(&usage),
        };
        if let Some(settle) = settle {
            settle.settle(&end);
        }
        self.span.ended(&end);
        observers.tell(|observer| observer.ended(&end));
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").finish_non_exhaustive()
    }
}
