//! One routed request in flight: its current attempt, the endpoints that it has
//! been sent to, and how the attempt ended.
//!
//! Each [`RouteBody`](super::request_body::RouteBody) of the request holds the
//! exchange, so the `ModelRouteLayer` and the layers below it share one:
//!
//! - The first layer that observes how an attempt ended settles it.
//! - The failover begins the next attempt, whose lease replaces the last one's.
//! - The `ModelRouteLayer` moves the lease into the answer's body (`finish`), or
//!   releases it when its future is dropped (`abandon`). Until then the exchange
//!   owns it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use http::{Extensions, HeaderMap, request::Parts};
use tokio::time::Instant;

use crate::{
    config::TrafficPolicy,
    error::RouteError,
    model::BodyKeys,
    pieces::lock,
    route::RouteDecision,
    server::{Caller, Lease, Outcome, Server},
    upload::{Share, Upload},
    wire::{Origin, Payload},
};

/// The state of the request. Its lock is held for one step at a time, never
/// across an await.
pub(crate) struct Exchange(Mutex<State>);

struct State {
    decision: RouteDecision,
    /// `None` once the answer's body owns it, or nobody waits for the answer any more.
    lease: Option<Lease>,
    /// The outcome of the attempt, once it has ended.
    outcome: Option<Outcome>,
    /// When the total timeout expires.
    deadline: Option<Instant>,
    /// The client's upload; `None` if the body was whole before it was sent.
    upload: Option<Upload>,
    /// `None` if the request can't be retried.
    retries: Option<Box<Retries>>,
    /// Counts the bytes of a body that was whole before it was sent.
    held: Share,
}

/// Everything that further attempts need.
struct Retries {
    origin: Origin,
    keys: BodyKeys,
    /// The ModelServer of the first attempt, whose policy applies to the retries.
    server: Arc<Server>,
    /// The URIs of the endpoints that the request has been sent to.
    tried: Vec<Arc<str>>,
}

/// The next attempt, not begun yet. Dropping it releases its lease.
pub(crate) struct Next {
    decision: RouteDecision,
    lease: Lease,
}

impl Exchange {
    /// Begins the first attempt. `again` holds what retries need; without it the
    /// request is sent once.
    pub(crate) fn new(
        decision: RouteDecision,
        mut lease: Lease,
        deadline: Option<Instant>,
        upload: Option<Upload>,
        again: Option<(Origin, BodyKeys)>,
    ) -> Arc<Self> {
        decision.count();
        lease.begin(Duration::ZERO);
        let retries = again.map(|(origin, keys)| {
            Box::new(Retries {
                origin,
                keys,
                server: Arc::clone(lease.server()),
                tried: Vec::new(),
            })
        });
        Arc::new(Self(Mutex::new(State {
            decision,
            lease: Some(lease),
            outcome: None,
            deadline,
            upload,
            retries,
            held: Share::default(),
        })))
    }

    /// Keeps the count of the body's bytes as long as this request may send them.
    pub(crate) fn hold(&self, held: Share) {
        self.state().held = held;
    }

    /// When the attempt that begins now times out: by the timeout of its
    /// ModelServer or the total timeout, whichever expires first.
    pub(crate) fn attempt_deadline(&self) -> Option<Instant> {
        let state = self.state();
        let timeout = state.lease.as_ref()?.server().policy.get_timeout();
        let own = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        match (own, state.deadline) {
            (Some(own), Some(whole)) => Some(own.min(whole)),
            (own, whole) => own.or(whole),
        }
    }

    /// Counts how the attempt ended. The first layer that observes the outcome
    /// records it; later calls are ignored.
    pub(crate) fn settle(&self, outcome: impl FnOnce() -> Outcome) {
        let mut state = self.state();
        if state.outcome.is_none() {
            state.settle(outcome());
        }
    }

    /// Why the client's upload could not be forwarded to its end, if it failed.
    pub(crate) fn upload_failure(&self) -> Option<RouteError> {
        self.state().upload.as_ref()?.failure()
    }

    /// The client's upload, if the body was not whole before it was sent.
    pub(crate) fn upload(&self) -> Option<Upload> {
        self.state().upload.clone()
    }

    /// Whether another attempt is allowed after the one that begins now.
    pub(crate) fn may_retry(&self, is_replayable: bool) -> bool {
        self.state().may_retry(is_replayable)
    }

    /// Whether the settled attempt ended in a way that should be retried.
    pub(crate) fn is_retriable(&self) -> bool {
        let state = self.state();
        state
            .retries
            .as_ref()
            .is_some_and(|retries| match state.outcome {
                Some(Outcome::Failed | Outcome::TimedOut | Outcome::Shed) => true,
                Some(Outcome::Answered(status, _)) => {
                    let statuses = retries.server.policy.get_retry_statuses();
                    statuses.contains(&status)
                }
                Some(Outcome::ClientFailed) | None => false,
            })
    }

    /// The time to wait before the next attempt; `None` if the policy forbids
    /// another, or no endpoint or too little time is left.
    ///
    /// Must be called only once after each attempt: it adds the attempt's endpoint
    /// to those already tried.
    pub(crate) fn interval(&self, is_replayable: bool) -> Option<Duration> {
        let mut state = self.state();
        let state = &mut *state;
        if !state.may_retry(is_replayable) {
            return None;
        }
        let retries = state.retries.as_deref_mut()?;
        retries.tried.push(state.decision.shared_endpoint());
        let wait = match state.outcome {
            Some(Outcome::Shed) => Duration::ZERO,
            _ => interval(&retries.server.policy, state.decision.attempts()),
        };
        let next = state.decision.next_server(&retries.tried)?;
        has_time(state.deadline, wait, next).then_some(wait)
    }

    /// Chooses the endpoint of the next attempt, and takes a lease of it; `None` if
    /// no endpoint or too little time is left.
    pub(crate) fn next(&self, headers: &HeaderMap, extensions: &Extensions) -> Option<Next> {
        let state = self.state();
        let retries = state.retries.as_deref()?;
        let caller = Caller {
            headers,
            extensions,
            body: &retries.keys,
        };
        let (target, lease) = state.decision.choose_next(caller, &retries.tried)?;
        has_time(state.deadline, Duration::ZERO, lease.server()).then(|| Next {
            decision: state.decision.again(target, &lease),
            lease,
        })
    }

    /// Turns `head`, which was sent in an earlier attempt, into that of the next one.
    pub(crate) fn prepare(&self, head: &mut Parts, next: &Next) -> Option<Payload> {
        let state = self.state();
        let origin = &state.retries.as_deref()?.origin;
        let to = &next.lease.endpoint().address;
        origin.prepare(head, &next.decision, to).ok()
    }

    /// Begins the next attempt, which is sent after `wait`; `None` if the retry budget is spent.
    pub(crate) fn begin(&self, next: Next, wait: Duration) -> Option<()> {
        let Next {
            decision,
            mut lease,
        } = next;
        if !decision.retry_budget().withdraw() {
            return None;
        }
        let mut state = self.state();
        tracing::debug!(
            target: "tower_model_route::retry",
            attempt = decision.attempts(),
            from = state.decision.endpoint(),
            to = decision.endpoint(),
            outcome = ?state.outcome,
            "sent again"
        );
        if let Some(upload) = &state.upload {
            upload.begin_attempt();
        }
        lease.begin(wait);
        state.decision = decision;
        state.lease = Some(lease);
        state.outcome = None;
        Some(())
    }

    /// Credits the retry budget for an attempt that should not be retried.
    pub(crate) fn deposit_retry(&self) {
        self.state().decision.retry_budget().deposit();
    }

    /// Makes the answer of an earlier attempt, to which `decision` led, that of the
    /// request. The last attempt's lease is released.
    pub(crate) fn fall_back(&self, decision: RouteDecision) {
        let mut state = self.state();
        let attempts = state.decision.attempts();
        state.decision = decision.after(attempts);
        state.lease = None;
    }

    pub(crate) fn decision(&self) -> RouteDecision {
        self.state().decision.clone()
    }

    /// The decision that led to the answer, and the lease, which the caller now owns.
    pub(crate) fn finish(&self) -> (RouteDecision, Option<Lease>) {
        let mut state = self.state();
        (state.decision.clone(), state.lease.take())
    }

    /// Releases the lease: nobody waits for an answer any more.
    pub(crate) fn abandon(&self) {
        let lease = self.state().lease.take();
        drop(lease);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

impl State {
    fn may_retry(&self, is_replayable: bool) -> bool {
        self.retries.as_ref().is_some_and(|retries| {
            is_replayable && self.decision.attempts() <= retries.server.policy.get_max_retries()
        })
    }

    fn settle(&mut self, outcome: Outcome) {
        let outcome = match &self.upload {
            Some(upload) if upload.failure().is_some() => Outcome::ClientFailed,
            // The engine was itself still waiting for the client.
            Some(upload) if outcome == Outcome::TimedOut && upload.waits_for_client() => {
                Outcome::ClientFailed
            }
            _ => outcome,
        };
        self.outcome = Some(outcome);
        if let Some(lease) = &mut self.lease {
            lease.end(outcome);
        }
    }
}

/// Whether enough of the total timeout is left for `wait` and an attempt at `next`.
fn has_time(deadline: Option<Instant>, wait: Duration, next: &Server) -> bool {
    let attempt = next.policy.get_timeout().unwrap_or(Duration::from_nanos(1));
    let room = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    room.is_none_or(|room| room >= wait.saturating_add(attempt))
}

/// How long to wait before the next attempt, after this many: an exponential
/// backoff with jitter.
fn interval(policy: &TrafficPolicy, attempts: u32) -> Duration {
    let doubled = 1_u32.checked_shl(attempts - 1).unwrap_or(u32::MAX);
    let interval = policy.get_retry_interval().saturating_mul(doubled);
    let interval = interval.min(policy.get_max_retry_interval());
    // Jitter: from 75 to 125 percent of the interval.
    let varied = interval.as_secs_f64() * (0.75 + fastrand::f64() / 2.0);
    let varied = Duration::try_from_secs_f64(varied).unwrap_or(Duration::MAX);
    varied.min(policy.get_max_retry_interval())
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}
