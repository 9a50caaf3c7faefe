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
//!
//! What never changes stands beside the lock, and what is asked of every request is asked in as few
//! locks as may be: each takes two atomic writes, of 28 that a request has.

use std::{
    error::Error,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, StatusCode, request::Parts};
use tokio::time::{Instant, timeout_at};

use super::{
    retries::{Retries, Step, has_time},
    slow::Slow,
    times::AttemptTimes,
};
use crate::{
    error::RouteError,
    events::Api,
    observe::{AttemptReport, SpanLevel},
    pieces::lock,
    route::{Further, RouteDecision, Unavailable},
    server::{Declined, Lease, Outcome, Server},
    upload::{Share, Upload},
    wire::Payload,
};

/// The state of the request. Its lock is held for one step at a time, never
/// across an await.
pub(crate) struct Exchange {
    state: Mutex<State>,
    fixed: Fixed,
    /// Whether the client still sends its body while that is forwarded.
    has_upload: bool,
    /// Whether the request can be sent again at all.
    has_retries: bool,
    passed: Passed,
    /// Whether the current attempt has ended; it is written under the lock.
    has_ended: AtomicBool,
    /// Whether somebody watches the times of the current attempt, and so the total one.
    is_timed: AtomicBool,
    /// Whether the HTTP client may have sent all that the engine needs in the current attempt:
    /// it has begun to read the body, or there is none.
    body_begun: AtomicBool,
    /// The request's bodies that are left.
    bodies: AtomicUsize,
    /// Counts the bytes of a body that was whole before it was sent.
    held: Share,
}

/// What is the same in all attempts.
pub(crate) struct Fixed {
    pub(crate) has_body: bool,
    /// Whether it asks for a stream, if that is known.
    pub(crate) asks_for_stream: Option<bool>,
    /// Whether the body can be made to ask for usage, which its client has not asked for.
    pub(crate) can_ask_for_usage: bool,
    /// Whether the gateway, not the client, has the engine report its load.
    pub(crate) asks_for_load: bool,
    pub(crate) api: Api,
    /// That of its attempts.
    pub(crate) span_level: SpanLevel,
}

/// Which of the layers that enforce the policy for attempts the request has passed.
#[derive(Default)]
struct Passed {
    attempt_timeout: AtomicBool,
    failover: AtomicBool,
}

/// The part that a body has in its exchange.
#[derive(Debug)]
pub(super) struct Attached(Arc<Exchange>);

/// As long as it lives, its owner watches the times of an attempt.
#[derive(Debug)]
pub(crate) struct Timed(Arc<Exchange>);

impl Timed {
    pub(crate) fn exchange(&self) -> &Exchange {
        &self.0
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        self.0.is_timed.store(false, Ordering::Relaxed);
    }
}

/// How the request has ended, for the layer that has the answer.
pub(crate) struct Finished {
    pub(crate) decision: RouteDecision,
    /// `None` if the answer is from an earlier attempt, whose lease was released.
    pub(crate) lease: Option<Lease>,
    /// When a missing first event counts as a failure, if it does.
    pub(crate) slow: Option<Slow>,
    /// Whether the attempt has asked for usage in the client's stead.
    pub(crate) asks_for_usage: bool,
    /// The client's upload, if the body was not whole before it was sent.
    pub(crate) upload: Option<Upload>,
}

struct State {
    decision: RouteDecision,
    /// `None` between two attempts, and once the answer's body owns it, or nobody
    /// waits for the answer any more.
    lease: Option<Lease>,
    /// The outcome of the attempt, once it has ended.
    outcome: Option<Outcome>,
    /// When the total timeout expires.
    deadline: Option<Instant>,
    /// The client's upload; `None` if the body was whole before it was sent.
    upload: Option<Upload>,
    /// Tells the bodies of requests apart.
    fingerprint: u64,
    /// The endpoints that have answered 500: they or the request may be at fault.
    suspects: Vec<(Arc<Server>, usize)>,
    /// Whether an attempt has lost a connection that may have been an idle one.
    has_lost: bool,
    /// `None` if the request can't be sent again.
    retries: Option<Box<Retries>>,
    /// From when on a missing first event counts as a failure.
    slow: Option<Instant>,
    /// `None` if nobody listens.
    report: Option<AttemptReport>,
}

/// The facts of a request that is sent.
pub(crate) struct Dispatched {
    pub(crate) decision: RouteDecision,
    pub(crate) lease: Lease,
    /// When the total timeout expires.
    pub(crate) deadline: Option<Instant>,
    pub(crate) upload: Option<Upload>,
    /// Tells the bodies of requests apart.
    pub(crate) fingerprint: u64,
    /// What further attempts need; without it the request is sent once.
    pub(crate) retries: Option<Box<Retries>>,
    /// Counts the bytes of a body that was whole before it was sent.
    pub(crate) held: Share,
    /// The report of the attempts, if anybody listens.
    pub(crate) report: Option<AttemptReport>,
    pub(crate) fixed: Fixed,
}

/// The next attempt, not begun yet. Dropping it releases its lease.
pub(crate) struct Next {
    decision: RouteDecision,
    lease: Lease,
}

/// Where the next attempt goes.
pub(crate) enum Upcoming {
    Now(Next),
    /// All healthy endpoints are full: to one of this target, once it has become free.
    Later(u32),
}

impl Attached {
    /// Of the first body, which the exchange counts from its beginning.
    pub(super) fn first(exchange: Arc<Exchange>) -> Self {
        Self(exchange)
    }

    pub(super) fn exchange(&self) -> &Arc<Exchange> {
        &self.0
    }
}

impl Clone for Attached {
    fn clone(&self) -> Self {
        self.0.bodies.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Attached {
    /// The exchange outlives its bodies: the answer holds it to the end.
    fn drop(&mut self) {
        let bodies = &self.0.bodies;
        // Of a single one there can be no clone any more.
        if bodies.load(Ordering::Acquire) == 1 || bodies.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.held.release();
        }
    }
}

impl Exchange {
    /// Begins the first attempt.
    pub(crate) fn new(dispatched: Dispatched) -> Arc<Self> {
        let Dispatched {
            decision,
            mut lease,
            deadline,
            upload,
            fingerprint,
            retries,
            held,
            mut report,
            fixed,
        } = dispatched;
        decision.count();
        lease.begin(Duration::ZERO);
        if let Some(report) = &mut report {
            report.begin(&decision);
        }
        if let Some(upload) = &upload {
            upload.sent_as(decision.requested_model(), decision.engine_model());
        }
        Arc::new(Self {
            has_upload: upload.is_some(),
            has_retries: retries.is_some(),
            passed: Passed::default(),
            has_ended: AtomicBool::new(false),
            is_timed: AtomicBool::new(false),
            body_begun: AtomicBool::new(!fixed.has_body),
            bodies: AtomicUsize::new(1),
            fixed,
            held,
            state: Mutex::new(State {
                decision,
                lease: Some(lease),
                outcome: None,
                deadline,
                upload,
                fingerprint,
                suspects: Vec::new(),
                has_lost: false,
                retries,
                slow: None,
                report,
            }),
        })
    }

    /// The time limits of the attempt that begins now. The caller enforces them, from its first
    /// poll on.
    pub(crate) fn attempt_times(self: &Arc<Self>) -> (AttemptTimes, Timed) {
        self.passed.attempt_timeout.store(true, Ordering::Relaxed);
        let timed = Timed(Arc::clone(self));
        let mut state = self.state();
        let Some(lease) = &state.lease else {
            return (AttemptTimes::default(), timed);
        };
        let times = AttemptTimes::of(&lease.server().policy, state.deadline);
        state.slow = times.slow;
        self.is_timed.store(true, Ordering::Relaxed);
        (times, timed)
    }

    /// Whether somebody watches the times of the current attempt, and so when the total one is over.
    pub(crate) fn is_timed(&self) -> bool {
        self.is_timed.load(Ordering::Relaxed)
    }

    /// The attempt has had no first event for too long, and goes on.
    pub(crate) fn is_slow(&self) {
        let mut state = self.state();
        let is_whole = state.has_whole_upload();
        if let Some(lease) = state.lease.as_mut().filter(|_| is_whole) {
            lease.failed();
        }
    }

    /// The HTTP client has begun to read the body, and may have sent some of it.
    pub(super) fn begin_body(&self) {
        self.body_begun.store(true, Ordering::Relaxed);
    }

    /// Reserves this many more bytes for the attempt. Fails if there is no room for
    /// them.
    pub(super) fn hold(&self, bytes: u64) -> Result<(), RouteError> {
        self.held.add(bytes)
    }

    /// Its body had to be made before.
    pub(super) fn is_sent_only_now(&self) {
        if let Some(lease) = &mut self.state().lease {
            lease.delayed();
        }
    }

    /// Logs why the engine can't be reached, if that is how the attempt ended.
    pub(crate) fn complain(&self, outcome: Outcome, error: &(dyn Error + 'static)) {
        if matches!(outcome, Outcome::NotConnected | Outcome::Failed)
            && let Some(lease) = &self.state().lease
        {
            lease.complain(error);
        }
    }

    /// Counts how the attempt ended. The first layer that observes the outcome
    /// records it; later calls are ignored.
    pub(crate) fn settle(&self, outcome: impl FnOnce() -> Outcome) {
        self.settled(&mut self.state(), outcome);
    }

    fn settled(&self, state: &mut State, outcome: impl FnOnce() -> Outcome) {
        if state.outcome.is_none() {
            self.warn_unenforced(state);
            state.settle(outcome());
            self.has_ended.store(true, Ordering::Relaxed);
        }
    }

    /// Why the client's upload could not be forwarded to its end, if it failed.
    pub(crate) fn upload_failure(&self) -> Option<RouteError> {
        self.upload()?.failure()
    }

    /// The client's upload, if the body was not whole before it was sent.
    pub(crate) fn upload(&self) -> Option<Upload> {
        let state = self.has_upload.then(|| self.state())?;
        state.upload.clone()
    }

    /// Whether another attempt may follow the one that begins now, for which the caller is
    /// responsible.
    pub(crate) fn may_send_again(&self, is_replayable: bool) -> bool {
        self.passed.failover.store(true, Ordering::Relaxed);
        is_replayable && self.has_retries
    }

    /// Settles the attempt, and returns whether it ended in a way that is worth another. If not,
    /// the retry budget is credited.
    pub(crate) fn is_retriable(&self, outcome: impl FnOnce() -> Outcome) -> bool {
        let mut state = self.state();
        self.settled(&mut state, outcome);
        let Some((retries, outcome)) = state.retries.as_deref().zip(state.outcome) else {
            return false;
        };
        let is_retriable = retries.is_retriable(outcome);
        if !is_retriable && retries.has_budget() {
            state.decision.retry_budget().deposit();
        }
        is_retriable
    }

    /// The time to wait before the next attempt; `None` if the policy forbids
    /// another, or no endpoint or too little time is left.
    ///
    /// Must be called only once after each attempt: it adds the attempt's endpoint
    /// to those already tried, and releases its lease.
    pub(crate) fn interval(&self, is_replayable: bool) -> Option<Duration> {
        let mut state = self.state();
        let state = &mut *state;
        let retries = state.retries.as_deref_mut().filter(|_| is_replayable)?;
        let outcome = state.outcome?;
        let is_unsent = !self.body_begun.load(Ordering::Relaxed);
        let step = retries.step(outcome, is_unsent, state.decision.endpoint())?;
        let wait = retries.begin(step, outcome, &state.decision);
        let to = match step {
            Step::Resend | Step::ResendElsewhere | Step::ElsewhereOrAgain => {
                Arc::clone(state.decision.shared_server())
            }
            Step::Elsewhere(to) => state.decision.next_server(to, retries.tried())?,
            Step::Retry => state.decision.next_server(Further::Any, retries.tried())?,
        };
        has_time(state.deadline, wait, &to).then(|| {
            state.lease = None;
            wait
        })
    }

    /// Whether the attempt has ended, and none has begun since.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// A layer of the caller's sends the request again: if possible to an endpoint that it
    /// has not been sent to. Returns whether there may be another.
    pub(crate) fn leave(&self) -> bool {
        let mut state = self.state();
        let state = &mut *state;
        let Some(retries) = state.retries.as_deref_mut() else {
            return false;
        };
        retries.leave(&state.decision);
        true
    }

    /// Begins another attempt at the same endpoint. If the lease of it has been released, for another
    /// that was not free after all, this one is counted as long as there is room.
    pub(crate) fn repeat<B>(&self, request: &Request<B>) {
        let mut state = self.state();
        let state = &mut *state;
        if state.lease.is_none()
            && let Some(retries) = state.retries.as_deref()
        {
            let caller = retries.caller(&state.decision, request);
            let leased = state.decision.lease_again(caller);
            state.lease = leased.map(|(_, lease)| lease);
        }
        let attempts = state.decision.attempts().saturating_add(1);
        state.decision = state.decision.clone().after(attempts);
        if let Some(lease) = &mut state.lease {
            lease.begin(Duration::ZERO);
        }
        if let Some(report) = &mut state.report {
            report.begin_again(&state.decision, Duration::ZERO);
        }
        if let Some(upload) = &state.upload {
            upload.begin_attempt();
        }
        self.begun(state);
    }

    /// Another attempt has begun.
    fn begun(&self, state: &mut State) {
        state.outcome = None;
        self.has_ended.store(false, Ordering::Relaxed);
        self.body_begun
            .store(!self.fixed.has_body, Ordering::Relaxed);
    }

    /// Chooses the endpoint of the next attempt, and takes a lease of it if it is free;
    /// `None` if no endpoint or too little time is left.
    pub(crate) fn next<B>(&self, request: &Request<B>) -> Option<Upcoming> {
        let state = self.state();
        let retries = state.retries.as_deref()?;
        let caller = retries.caller(&state.decision, request);
        match retries.choose(&state.decision, caller) {
            Ok((target, lease)) => state.next(target, lease).map(Upcoming::Now),
            Err(Unavailable::Full(Some(target))) => Some(Upcoming::Later(target)),
            Err(Unavailable::Full(None) | Unavailable::Draining | Unavailable::NoEndpoint) => None,
        }
    }

    /// Waits for an endpoint of this target to become free, until the time for all attempts is over.
    pub(crate) fn wait<B>(
        &self,
        target: u32,
        request: &Request<B>,
    ) -> Option<impl Future<Output = Option<Lease>> + Send + use<B>> {
        let state = self.state();
        let retries = state.retries.as_deref()?;
        let caller = retries.caller(&state.decision, request);
        let server = Arc::clone(state.decision.server_of(target));
        let wait = server.wait(caller, retries.tried().to_vec());
        let deadline = state.deadline;
        Some(async move {
            match deadline {
                Some(deadline) => timeout_at(deadline, wait).await.ok().flatten(),
                None => wait.await,
            }
        })
    }

    /// When the time for all attempts is over.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.state().deadline
    }

    /// The next attempt, at an endpoint of this target; `None` if too little time is left.
    pub(crate) fn next_at(&self, target: u32, lease: Lease) -> Option<Next> {
        self.state().next(target, lease)
    }

    /// Turns `head`, which was sent in an earlier attempt, into that of the next one.
    pub(crate) fn prepare(&self, head: &mut Parts, next: &Next) -> Option<Payload> {
        let state = self.state();
        let retries = state.retries.as_deref()?;
        let is_same = next.decision.endpoint() == state.decision.endpoint();
        retries.mark(head, is_same);
        let to = &next.lease.endpoint().address;
        if let Some(upload) = &state.upload {
            let decision = &next.decision;
            upload.sent_as(decision.requested_model(), decision.engine_model());
        }
        retries.origin().prepare(head, &next.decision, to).ok()
    }

    /// Begins the next attempt, which is sent after `wait`; `None` if it counts as a retry and
    /// the retry budget is spent.
    pub(crate) fn begin(&self, next: Next, wait: Duration) -> Option<()> {
        let Next {
            decision,
            mut lease,
        } = next;
        let counts = self.state().retries.as_deref()?.counts();
        if counts && !decision.retry_budget().withdraw() {
            return None;
        }
        let mut state = self.state();
        tracing::debug!(
            target: "tower_model_route::retry",
            attempt = decision.attempts(),
            from = state.decision.endpoint(),
            to = decision.endpoint(),
            outcome = state.outcome.map(tracing::field::display),
            "sent again"
        );
        if let Some(upload) = &state.upload {
            upload.begin_attempt();
        }
        lease.begin(wait);
        if let Some(report) = &mut state.report {
            report.begin_again(&decision, wait);
        }
        state.decision = decision;
        state.lease = Some(lease);
        self.begun(&mut state);
        Some(())
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

    /// The model that the engine of the current attempt was asked for.
    pub(crate) fn engine_model(&self) -> String {
        self.state().decision.engine_model().to_owned()
    }

    /// The API that the client speaks.
    pub(crate) fn api(&self) -> Api {
        self.fixed.api
    }

    /// Whether the request asks for a stream, if that is known.
    pub(crate) fn asks_for_stream(&self) -> Option<bool> {
        self.fixed.asks_for_stream
    }

    /// The level of its attempts' spans.
    pub(crate) fn span_level(&self) -> SpanLevel {
        self.fixed.span_level
    }

    /// Whether the gateway, not the client, has the engine report its load.
    pub(crate) fn asks_for_load(&self) -> bool {
        self.fixed.asks_for_load
    }

    /// Settles the attempt that has brought the answer, unless that was done below, and ends the
    /// exchange. Fails if the client's upload has: the engine has seen only a part of it, so its
    /// answer does not count.
    pub(crate) fn finish(&self, outcome: impl FnOnce() -> Outcome) -> Result<Finished, RouteError> {
        let mut state = self.state();
        self.settled(&mut state, outcome);
        if let Some(failure) = state.upload.as_ref().and_then(Upload::failure) {
            return Err(failure);
        }
        state.judge_suspects();
        // There is no other attempt any more: what it would send need not be held.
        state.retries = None;
        let can_ask = self.fixed.can_ask_for_usage;
        Ok(Finished {
            asks_for_usage: can_ask && state.decision.policy().get_force_usage(),
            decision: state.decision.clone(),
            lease: state.lease.take(),
            slow: state.slow.map(Slow::new),
            upload: state.upload.clone(),
        })
    }

    /// Releases the lease: nobody waits for an answer any more.
    pub(crate) fn abandon(&self) {
        let mut state = self.state();
        state.judge_suspects();
        state.tell_end(Outcome::ClientFailed);
        let lease = state.lease.take();
        drop(state);
        drop(lease);
    }

    /// Options that no layer enforces are a trap, so this warns. By the end of an attempt the
    /// request has passed all layers.
    fn warn_unenforced(&self, state: &State) {
        let Some(lease) = &state.lease else { return };
        let (
            server,
            Passed {
                attempt_timeout,
                failover,
            },
        ) = (lease.server(), &self.passed);
        let lacks = |layer: &AtomicBool| !layer.load(Ordering::Relaxed);
        if lacks(attempt_timeout) && server.policy.get_timeout().is_some() {
            server.warn_unenforced("timeout", "an AttemptTimeoutLayer");
        } else if lacks(failover) && server.policy.get_max_retries() > 0 {
            server.warn_unenforced("max_retries", "a FailoverLayer");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn has_whole_upload(&self) -> bool {
        self.upload.as_ref().is_none_or(Upload::has_ended)
    }

    fn settle(&mut self, outcome: Outcome) {
        let outcome = match &self.upload {
            Some(upload) if upload.failure().is_some() => Outcome::ClientFailed,
            // The engine was itself still waiting for the client.
            Some(upload) if outcome == Outcome::TimedOut && upload.waits_for_client() => {
                Outcome::ClientFailed
            }
            // Only the first loss may be that of an idle connection.
            _ if outcome == Outcome::Lost && std::mem::replace(&mut self.has_lost, true) => {
                Outcome::Failed
            }
            _ => outcome,
        };
        self.outcome = Some(outcome);
        self.tell_end(outcome);
        let Some(lease) = &mut self.lease else {
            return;
        };
        lease.end(outcome);
        match outcome {
            Outcome::Declined(_, Declined::UnknownModel) => {
                lease.lacks_model(self.decision.engine_model());
            }
            Outcome::Answered(status) if status.is_success() => {
                lease.serves_model(self.decision.engine_model());
            }
            _ => {}
        }
        if outcome == Outcome::Answered(StatusCode::INTERNAL_SERVER_ERROR) && !lease.has_failed() {
            let suspect = (Arc::clone(lease.server()), lease.position());
            self.suspects.push(suspect);
        } else if outcome.is_success() {
            // The request is not at fault.
            for (server, position) in self.suspects.drain(..) {
                server.answered_500(position, None);
            }
        }
    }

    /// The attempt has ended like this, if it has not before.
    fn tell_end(&mut self, outcome: Outcome) {
        if let Some(report) = &mut self.report {
            report.end(&self.decision, outcome);
        }
    }

    /// Nobody has answered anything but 500. One endpoint alone may be at fault, several
    /// hardly are.
    fn judge_suspects(&mut self) {
        if let [(server, position)] = &*self.suspects {
            server.answered_500(*position, Some(self.fingerprint));
        }
        self.suspects.clear();
    }

    fn next(&self, target: u32, lease: Lease) -> Option<Next> {
        has_time(self.deadline, Duration::ZERO, lease.server()).then(|| Next {
            decision: self.decision.again(target, &lease),
            lease,
        })
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}
