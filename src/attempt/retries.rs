//! Whether a request is sent again, when, and at whose cost.

use std::{sync::Arc, time::Duration};

use http::{Method, Request, StatusCode, request::Parts};
use tokio::time::Instant;

use crate::{
    config::TrafficPolicy,
    limit::Estimate,
    model::BodyKeys,
    pieces::jittered,
    route::{Chosen, Further, RouteDecision, Unavailable},
    server::{Caller, Declined, Outcome, Server},
    wire::{FreshConnection, Origin},
};

/// How often a request may be sent again at no cost: endpoints that refuse it are ejected long
/// before this many are tried, unless all are out.
const MAX_MOVES: u32 = 16;
/// How often in a row an endpoint may say that it has not processed a request, and get it once more.
const MAX_REFUSALS: usize = 2;
/// The least time that an attempt without a timeout must have.
pub(crate) const LEAST_TIME: Duration = Duration::from_millis(100);

/// Everything that further attempts need.
pub(crate) struct Retries {
    origin: Origin,
    keys: Option<Box<BodyKeys>>,
    estimate: Estimate,
    is_idempotent: bool,
    /// The ModelServer of the first attempt, whose policy applies to the retries.
    server: Arc<Server>,
    /// The URIs of the endpoints that have failed the request.
    tried: Vec<Arc<str>>,
    /// The retries that count, and the attempts that cost nothing.
    counted: u32,
    moves: u32,
    /// What the next attempt is.
    step: Step,
}

/// What follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The engine has processed nothing: to another such endpoint at once, at no cost.
    Elsewhere(Further),
    /// It says itself that it has processed nothing, usually because it closes the connection: to
    /// another healthy endpoint, or else once more on a fresh connection, at no cost.
    ElsewhereOrAgain,
    /// An idle connection was lost: once more on a fresh one, at no cost.
    Resend,
    /// The connection was lost and may have been an idle one: once more, at no cost, to another
    /// healthy endpoint if there is one. The client may have more such connections.
    ResendElsewhere,
    /// A retry, as the policy allows it.
    Retry,
}

impl Retries {
    pub(crate) fn new(
        origin: Origin,
        (keys, estimate): (Option<Box<BodyKeys>>, Estimate),
        method: &Method,
        server: Arc<Server>,
    ) -> Box<Self> {
        Box::new(Self {
            origin,
            keys,
            estimate,
            is_idempotent: method.is_idempotent(),
            server,
            tried: Vec::new(),
            counted: 0,
            moves: 0,
            step: Step::Retry,
        })
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What is known about the request, which was sent by `decision`.
    pub(super) fn caller<'a, B>(
        &'a self,
        decision: &'a RouteDecision,
        request: &'a Request<B>,
    ) -> Caller<'a> {
        Caller {
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
            body: self.keys.as_deref().unwrap_or(BodyKeys::NONE),
            estimate: self.estimate,
            model: decision.wanted(),
        }
    }

    pub(super) fn tried(&self) -> &[Arc<str>] {
        &self.tried
    }

    /// Whether the next attempt counts as a retry.
    pub(super) fn counts(&self) -> bool {
        self.step == Step::Retry
    }

    /// Whether an attempt that ended like this is worth another, whether or not one is allowed.
    pub(super) fn is_retriable(&self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Answered(status) | Outcome::Full(status, _) => {
                let statuses = self.server.policy.get_retry_statuses();
                let is_overloaded = status.as_u16() == 529;
                statuses.contains(&status)
                    || is_overloaded && statuses.contains(&StatusCode::SERVICE_UNAVAILABLE)
            }
            Outcome::NotConnected
            | Outcome::NotProcessed
            | Outcome::Stale
            | Outcome::Lost
            | Outcome::Failed
            | Outcome::TimedOut
            | Outcome::Declined(..)
            | Outcome::Shed => true,
            Outcome::OutOfTime | Outcome::ClientFailed => false,
        }
    }

    /// Whether the policy allows retries, which the budget is for.
    pub(super) fn has_budget(&self) -> bool {
        self.server.policy.get_max_retries() > 0
    }

    /// What follows an attempt at `endpoint` that ended like this; `is_unsent` if nothing of the
    /// body was written.
    ///
    /// A request whose connection was lost may have been processed. It is sent again if that
    /// does no harm (RFC 9110 section 9.2.2), or if the policy allows retries, which are
    /// such repetitions.
    pub(super) fn step(&self, outcome: Outcome, is_unsent: bool, endpoint: &str) -> Option<Step> {
        let allowed = self.server.policy.get_max_retries();
        let retry = (self.counted < allowed).then_some(Step::Retry);
        let may_move = self.moves < MAX_MOVES;
        let may_repeat = is_unsent || self.is_idempotent || allowed > 0;
        let refusals = || self.tried.iter().filter(|tried| ***tried == *endpoint);
        match outcome {
            Outcome::NotProcessed if may_move && refusals().count() < MAX_REFUSALS => {
                Some(Step::ElsewhereOrAgain)
            }
            Outcome::NotConnected | Outcome::NotProcessed if may_move => {
                Some(Step::Elsewhere(Further::Any))
            }
            Outcome::Declined(_, why) => may_move.then_some(Step::Elsewhere(match why {
                Declined::UnknownModel => Further::Served,
                Declined::TooLong => Further::Longer,
            })),
            Outcome::Stale if may_move && may_repeat => Some(Step::Resend),
            Outcome::Lost if may_move && may_repeat => Some(Step::ResendElsewhere),
            _ => retry.filter(|_| self.is_retriable(outcome)),
        }
    }

    /// Takes this step after the attempt to which `decision` led; returns how long to wait
    /// before.
    pub(super) fn begin(
        &mut self,
        step: Step,
        outcome: Outcome,
        decision: &RouteDecision,
    ) -> Duration {
        self.step = step;
        if step == Step::Retry {
            self.counted += 1;
        } else {
            self.moves += 1;
        }
        if matches!(
            step,
            Step::Elsewhere(_) | Step::ElsewhereOrAgain | Step::Retry
        ) {
            self.tried.push(decision.shared_endpoint());
        }
        match step {
            Step::Retry if outcome != Outcome::Shed => interval(&self.server.policy, self.counted),
            _ => Duration::ZERO,
        }
    }

    /// The attempt to which `decision` led is followed by one that a layer of the caller's
    /// makes, which costs what that layer says.
    pub(super) fn leave(&mut self, decision: &RouteDecision) {
        self.step = Step::Elsewhere(Further::Any);
        let endpoint = decision.shared_endpoint();
        if !self.tried.contains(&endpoint) {
            self.tried.push(endpoint);
        }
    }

    /// Chooses the endpoint of the next attempt, after the one to which `decision` led.
    pub(super) fn choose(
        &self,
        decision: &RouteDecision,
        caller: Caller<'_>,
    ) -> Result<Chosen, Unavailable> {
        let again = || decision.lease_again(caller);
        let resent = match self.step {
            Step::Elsewhere(_) | Step::Retry => None,
            Step::Resend => again(),
            Step::ElsewhereOrAgain => decision.choose_healthy(caller, &self.tried).or_else(again),
            Step::ResendElsewhere => {
                let mut tried = self.tried.clone();
                tried.push(decision.shared_endpoint());
                decision.choose_healthy(caller, &tried).or_else(again)
            }
        };
        match resent {
            Some(chosen) => Ok(chosen),
            None => {
                let to = match self.step {
                    Step::Elsewhere(to) => to,
                    _ => Further::Any,
                };
                decision.choose_next(to, caller, &self.tried)
            }
        }
    }

    /// Asks the HTTP client for a fresh connection, where that is the point; `is_same` if the next
    /// endpoint is that of the last attempt.
    pub(super) fn mark(&self, head: &mut Parts, is_same: bool) {
        head.extensions.remove::<FreshConnection>();
        let is_fresh = match self.step {
            Step::Resend | Step::ResendElsewhere => true,
            Step::ElsewhereOrAgain => is_same,
            Step::Elsewhere(_) | Step::Retry => false,
        };
        if is_fresh {
            head.extensions.insert(FreshConnection);
        }
    }
}

/// Whether enough of the total timeout is left for `wait` and an attempt at `next`.
pub(super) fn has_time(deadline: Option<Instant>, wait: Duration, next: &Server) -> bool {
    let attempt = next.policy.get_timeout().unwrap_or(LEAST_TIME);
    let room = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    room.is_none_or(|room| room >= wait.saturating_add(attempt))
}

/// How long to wait before this retry, counted from 1: an exponential backoff with jitter.
fn interval(policy: &TrafficPolicy, retry: u32) -> Duration {
    let doubled = 1_u32.checked_shl(retry - 1).unwrap_or(u32::MAX);
    let interval = policy.get_retry_interval().saturating_mul(doubled);
    let interval = interval.min(policy.get_max_retry_interval());
    jittered(interval, 0.75..1.25).min(policy.get_max_retry_interval())
}
