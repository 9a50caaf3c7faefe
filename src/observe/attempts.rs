//! What observers are told about a request's attempts.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    facts::{AttemptFacts, AttemptOutcome},
    listening::Listening,
};
use crate::{route::RouteDecision, server::Outcome};

/// Tells of the attempts of one request, one after the other.
#[derive(Debug)]
pub(crate) struct AttemptReport {
    listening: Arc<Listening>,
    begun: Instant,
    /// How the one before has ended.
    after: Option<Outcome>,
    is_open: bool,
}

impl AttemptReport {
    /// Before the first attempt, which begins at `begun`.
    pub(super) fn new(listening: Arc<Listening>, begun: Instant) -> Self {
        Self {
            listening,
            begun,
            after: None,
            is_open: false,
        }
    }

    /// The first attempt begins.
    pub(crate) fn begin(&mut self, decision: &RouteDecision) {
        self.is_open = true;
        self.tell(decision, None);
    }

    /// Another attempt begins, after `wait`.
    pub(crate) fn begin_again(&mut self, decision: &RouteDecision, wait: Duration) {
        let now = Instant::now();
        self.begun = now.checked_add(wait).unwrap_or(now);
        self.begin(decision);
    }

    /// The attempt has ended, if it has not before.
    pub(crate) fn end(&mut self, decision: &RouteDecision, outcome: Outcome) {
        if std::mem::take(&mut self.is_open) {
            self.tell(decision, Some(outcome));
            self.after = Some(outcome);
        }
    }

    fn tell(&self, decision: &RouteDecision, outcome: Option<Outcome>) {
        let Listening { request, observers } = &*self.listening;
        let attempt = AttemptFacts {
            request,
            decision,
            after: self.after.map(AttemptOutcome),
            ended: outcome.map(|outcome| (AttemptOutcome(outcome), self.begun.elapsed())),
        };
        observers.tell(|observer| match outcome {
            None => observer.attempt_begun(&attempt),
            Some(_) => observer.attempt_ended(&attempt),
        });
    }
}
