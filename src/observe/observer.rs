//! Observers: the listeners to what happens to requests.
//!
//! An [`Observer`] is told facts: borrowed, structured, and each at the moment at which it is known.
//! Any number of them can listen; the metrics and the access log of this crate are two. They share
//! one way of knowing, so that the log, the metrics, the span and a limit never disagree on what a
//! request has cost.
//!
//! ```text
//! the head is there       received            a note or two of the listener's own (who is asking)
//! routed                  decided             where to: model, route, rule, ModelServer, endpoint
//! a limit is asked        limited             what it says
//! or refused              rejected            by which error; with the route, if it is known
//! an attempt              attempt_begun       at which endpoint, and why it is a retry, if it is
//!                         attempt_ended       how, and after how long
//! the answer's stream     first_content       the first event with output
//! the end, once           ended               everything: status, how it ended, usage, times
//! ```
//!
//! *Who tells.* A [`Report`](super::report::Report) belongs to one logical request, however many
//! attempts it has. It moves with the request: from the layer's future into the answer's body. What
//! becomes known is written into it; nothing is shared, so nothing is locked. Whoever holds it last
//! says how the request has ended, or drops it: its `Drop` tells the end, synchronously, in whatever
//! task that is. So a request that is cancelled at any point has an end like any other, exactly once.
//! Attempts are told by the exchange, which knows them, as are retries made by layers below.
//!
//! *What it costs.* Without listeners a report is empty: no allocation, no clock, no look at the
//! answer. With them it is two allocations and the clocks that the times need; none for an event of a
//! stream. Answers are read (by `events`) only if a listener asks for it
//! ([`Observer::reads_answers`]), and reading them changes nothing: neither what the client sees nor
//! what is held against an endpoint.
//!
//! *Usage* is what the engine says, as it says it. It is exact if the engine said it at the end: with
//! or after the reason of the end. What was seen before a disconnect (vLLM's continuous usage,
//! Anthropic's `message_start`) is kept too, and is not exact; then the events with content, which are
//! mostly a token each, say more.
//!
//! *What it is not.* No listener can change or refuse anything: `authorize` does that before, and
//! limits do. What settles a reservation at the end is no listener either but an heir of the request
//! ([`Settle`](super::report::Settle)): it is told the same facts, first, and also where nobody else
//! listens.

use std::{fmt, sync::Arc};

use http::{Extensions, request::Parts};

use super::facts::{AttemptFacts, EndFacts, LimitFacts, RequestFacts};
use crate::{error::RouteError, route::RouteDecision};

/// Is told what happens to each request; see
/// [`ModelRouteLayer::observer`](crate::ModelRouteLayer::observer).
///
/// All methods do nothing by default. They are called in the task that serves the request, some
/// while a lock of that request is held: they must not block, and a panic in one ends the request.
/// Hand anything slow to a channel.
///
/// For every request that is [`received`](Self::received), [`ended`](Self::ended) is called
/// exactly once, even if its client disconnects or its future is dropped.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use tower_model_route::{EndFacts, Observer};
///
/// /// Counts the tokens that engines have made.
/// #[derive(Default)]
/// struct Tokens(AtomicU64);
///
/// impl Observer for Tokens {
///     fn ended(&self, end: &EndFacts<'_>) {
///         self.0.fetch_add(end.output_tokens(), Ordering::Relaxed);
///     }
/// }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// A request has arrived, with this head. What you put into `notes` is in
    /// [`RequestFacts::notes`] later: the caller, for example, whom a layer above has recorded in
    /// the head's extensions.
    fn received(&self, head: &Parts, notes: &mut Extensions) {
        _ = (head, notes);
    }

    /// The request goes to the endpoint of this decision.
    fn decided(&self, request: &RequestFacts, decision: &RouteDecision) {
        _ = (request, decision);
    }

    /// The gateway answers the request itself with this error: it was not routed, no endpoint was
    /// free, or its time was over.
    fn rejected(&self, request: &RequestFacts, error: &RouteError) {
        _ = (request, error);
    }

    /// A limit has decided about the request.
    fn limited(&self, request: &RequestFacts, limit: &LimitFacts<'_>) {
        _ = (request, limit);
    }

    /// The request is sent to an endpoint, for the first time or again.
    fn attempt_begun(&self, attempt: &AttemptFacts<'_>) {
        _ = attempt;
    }

    /// The attempt has ended: with the head of an answer, or without one.
    fn attempt_ended(&self, attempt: &AttemptFacts<'_>) {
        _ = attempt;
    }

    /// The first event with content has arrived, in an answer that is a stream.
    fn first_content(&self, request: &RequestFacts) {
        _ = request;
    }

    /// The request has ended: its answer has ended or broken off, or nobody is waiting for it any
    /// more.
    fn ended(&self, end: &EndFacts<'_>) {
        _ = end;
    }

    /// Whether to read the answers' events, for usage and the first content; by default yes. They
    /// are read once for all observers. Otherwise [`EndFacts`] has no usage, no counts except
    /// bytes, and no time of the first content.
    fn reads_answers(&self) -> bool {
        true
    }
}

/// All who listen; none by default.
#[derive(Clone, Default)]
pub(crate) struct Observers(Option<Arc<All>>);

struct All {
    each: Vec<Arc<dyn Observer>>,
    read_answers: bool,
}

impl Observers {
    pub(crate) fn add(&mut self, observer: Arc<dyn Observer>) {
        let mut each = self
            .0
            .as_ref()
            .map_or_else(Vec::new, |all| all.each.clone());
        each.push(observer);
        let read_answers = each.iter().any(|observer| observer.reads_answers());
        self.0 = Some(Arc::new(All { each, read_answers }));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn read_answers(&self) -> bool {
        self.0.as_ref().is_some_and(|all| all.read_answers)
    }

    pub(super) fn tell(&self, mut what: impl FnMut(&dyn Observer)) {
        if let Some(all) = &self.0 {
            all.each.iter().for_each(|observer| what(&**observer));
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.as_ref().map_or(0, |all| all.each.len());
        f.debug_tuple("Observers").field(&count).finish()
    }
}
