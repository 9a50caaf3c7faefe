//! One routed request on its way: where it is now, where it has been, and how
//! that went. The layer and the retry policy below it share it.

use std::{
    any::Any,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{Request, Response};
use tokio::time::Instant;

use super::request_body::RouteBody;
use crate::{
    config::TrafficPolicy,
    error::RouteError,
    model::BodyKeys,
    route::RouteDecision,
    server::{Caller, Lease, Outcome, Server},
    upload::Upload,
    wire::Origin,
};

/// It travels with the [`RouteBody`], so that it is wherever the request is.
///
/// The lock is held for a step at a time and never awaited.
pub(crate) struct Exchange(Mutex<State>);

struct State {
    decision: RouteDecision,
    /// None once the answer's body has it, or nobody waits for an answer any more.
    lease: Option<Lease>,
    /// How the attempt ended, once it has.
    outcome: Option<Outcome>,
    /// Until when there must be an answer.
    deadline: Option<Instant>,
    /// The client's part, while it may still be arriving.
    upload: Option<Upload>,
    /// None where it is sent once.
    retries: Option<Box<Retries>>,
}

/// What sending it again takes.
struct Retries {
    origin: Origin,
    keys: BodyKeys,
    /// The one that was chosen first: its policy counts.
    server: Arc<Server>,
    /// The URIs of the endpoints that it was sent to.
    tried: Vec<Arc<str>>,
    /// The last answer that came from an engine, and whose it was.
    answer: Option<(Box<dyn Any + Send>, RouteDecision)>,
}

impl Exchange {
    /// Without what it takes to send it `again` the request is sent once.
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
                answer: None,
            })
        });
        Arc::new(Self(Mutex::new(State {
            decision,
            lease: Some(lease),
            outcome: None,
            deadline,
            upload,
            retries,
        })))
    }

    /// When the attempt that begins now must have an answer.
    pub(crate) fn attempt_deadline(&self) -> Option<Instant> {
        let state = self.state();
        let timeout = state.lease.as_ref()?.server().policy.get_timeout();
        let own = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        match (own, state.deadline) {
            (Some(own), Some(whole)) => Some(own.min(whole)),
            (own, whole) => own.or(whole),
        }
    }

    /// Counts how the attempt ended; whoever sees it first says it.
    pub(crate) fn settle(&self, outcome: impl FnOnce() -> Outcome) {
        let mut state = self.state();
        if state.outcome.is_none() {
            state.settle(outcome());
        }
    }

    /// Why the client's part could not be forwarded to its end.
    pub(crate) fn upload_failure(&self) -> Option<RouteError> {
        self.state().upload.as_ref()?.failure()
    }

    /// Whether the request may have to be sent again after the attempt that begins now.
    ///
    /// Also the end of the last attempt has to be seen, if there is an answer to fall back on.
    pub(crate) fn may_go_on(&self, replayable: bool) -> bool {
        let state = self.state();
        state.retries.as_ref().is_some_and(|retries| {
            let attempts = state.decision.attempts();
            retries.answer.is_some()
                || replayable && attempts <= retries.server.policy.get_max_retries()
        })
    }

    /// Whether the attempt, which is settled, should be followed by another.
    pub(crate) fn is_retriable(&self) -> bool {
        let state = self.state();
        state
            .retries
            .as_ref()
            .is_some_and(|retries| match state.outcome {
                Some(Outcome::Failed | Outcome::TimedOut | Outcome::Shed) => true,
                Some(Outcome::Answered(status, _)) => {
                    retries.server.policy.get_retry_statuses().contains(&status)
                }
                Some(Outcome::Spoilt) | None => false,
            })
    }

    /// Sends `request` elsewhere, if that may be and there is somewhere; and after how long.
    pub(crate) fn redirect(&self, request: &mut Request<RouteBody>) -> Option<Duration> {
        let mut state = self.state();
        let state = &mut *state;
        let retries = state.retries.as_deref_mut()?;
        let policy = &retries.server.policy;
        let attempts = state.decision.attempts();
        if attempts > policy.get_max_retries() || !request.body().is_replayable() {
            return None;
        }
        retries.tried.push(state.decision.shared_endpoint());
        let caller = Caller {
            headers: request.headers(),
            extensions: request.extensions(),
            body: &retries.keys,
        };
        let (target, mut lease) = state.decision.choose_next(caller, &retries.tried)?;
        let wait = match state.outcome {
            Some(Outcome::Shed) => Duration::ZERO,
            _ => interval(policy, attempts),
        };
        let attempt = lease
            .server()
            .policy
            .get_timeout()
            .unwrap_or(Duration::from_nanos(1));
        let room = state
            .deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if room.is_some_and(|room| room < wait.saturating_add(attempt)) {
            return None;
        }
        let decision = state.decision.again(target, &lease);
        retries
            .origin
            .readdress(request, &decision, lease.endpoint())
            .ok()?;
        if !decision.retry_budget().withdraw() {
            return None;
        }
        tracing::debug!(
            target: "tower_model_route::retry",
            attempt = decision.attempts(),
            from = state.decision.endpoint(),
            to = decision.endpoint(),
            outcome = ?state.outcome,
            "sent again"
        );
        request.extensions_mut().insert(decision.clone());
        if let Some(upload) = &state.upload {
            upload.begin_attempt();
        }
        lease.begin(wait);
        state.decision = decision;
        state.lease = Some(lease);
        state.outcome = None;
        Some(wait)
    }

    /// Says that the request was worth its while: retries are paid for by such.
    pub(crate) fn deposit_retry(&self) {
        self.state().decision.retry_budget().deposit();
    }

    /// Keeps an answer that is not the last word, in case that there is no better one.
    pub(crate) fn keep<R: Send + 'static>(&self, answer: Response<R>, from: RouteDecision) {
        if let Some(retries) = &mut self.state().retries {
            retries.answer = Some((Box::new(answer), from));
        }
    }

    /// The answer that was kept: it becomes that of the request.
    pub(crate) fn take_kept<R: 'static>(&self) -> Option<Response<R>> {
        let mut state = self.state();
        let (answer, from) = state.retries.as_mut()?.answer.take()?;
        let answer = answer.downcast().ok()?;
        let attempts = state.decision.attempts();
        state.decision = from.after(attempts);
        state.lease = None;
        Some(*answer)
    }

    pub(crate) fn decision(&self) -> RouteDecision {
        self.state().decision.clone()
    }

    /// The decision that stands, and what counts the request as in flight.
    pub(crate) fn finish(&self) -> (RouteDecision, Option<Lease>) {
        let mut state = self.state();
        (state.decision.clone(), state.lease.take())
    }

    /// Nobody waits for an answer any more.
    pub(crate) fn abandon(&self) {
        let lease = self.state().lease.take();
        drop(lease);
    }

    /// A panic elsewhere leaves nothing half done that matters here.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn settle(&mut self, outcome: Outcome) {
        let outcome = match &self.upload {
            Some(upload) if upload.failure().is_some() => Outcome::Spoilt,
            // The engine had to wait for the client itself.
            Some(upload) if outcome == Outcome::TimedOut && upload.waits_for_client() => {
                Outcome::Spoilt
            }
            _ => outcome,
        };
        self.outcome = Some(outcome);
        if let Some(lease) = &mut self.lease {
            lease.end(outcome);
        }
    }
}

/// How long to wait before the next attempt, after so many.
fn interval(policy: &TrafficPolicy, attempts: u32) -> Duration {
    let doubled = 1_u32.checked_shl(attempts - 1).unwrap_or(u32::MAX);
    let interval = policy.get_retry_interval().saturating_mul(doubled);
    let interval = interval.min(policy.get_max_retry_interval());
    // From three quarters of it to five.
    let varied = interval.as_secs_f64() * (0.75 + fastrand::f64() / 2.0);
    let varied = Duration::try_from_secs_f64(varied).unwrap_or(Duration::MAX);
    varied.min(policy.get_max_retry_interval())
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}
