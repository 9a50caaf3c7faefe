//! One request at one endpoint: it counts as in flight there until the lease is dropped.
//!
//! Dropping it first gives an undecided trial back, then lowers the count, and only then wakes
//! the queue, so that a waiting request finds the endpoint free.

use std::{
    error::Error,
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::StatusCode;
use tokio::time::Instant;
use tracing::{field::display, info, warn};

use super::{
    ask::{Ask, Tokens},
    endpoint::Endpoint,
    health::{HealthState, Recovery},
    model_server::Server,
};
use crate::error::Chain;

/// For how long an endpoint is passed over that is full and does not say until when.
const BUSY: Duration = Duration::from_secs(1);
/// After this many failures in a row there is a warning, if the endpoint is not
/// ejected.
const MANY_FAILURES: u32 = 8;

/// A request in flight to an endpoint; the count goes down when it is dropped.
pub(crate) struct Lease {
    server: Arc<Server>,
    position: usize,
    /// Whether this request is the trial that decides about the endpoint's return.
    on_trial: bool,
    /// What its answer has ended.
    recovery: Recovery,
    has_failed: bool,
    /// Whether this request counts in the ModelServer's total.
    in_total: bool,
    /// When the request is sent, if the balance needs the latency.
    begun: Option<Instant>,
    /// The part of its tokens that still counts, if the balance counts tokens.
    tokens: Option<Tokens>,
}

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The engine has answered with this status.
    Answered(StatusCode),
    /// The engine has answered with this status that it is full, for this long if it gave a
    /// time.
    Full(StatusCode, Option<Duration>),
    /// The engine has answered with this status that it is not the one for this request.
    Declined(StatusCode, Declined),
    /// No connection could be opened: nothing was sent.
    NotConnected,
    /// The engine has not processed the request, and says so.
    NotProcessed,
    /// An idle connection that the engine had closed was lost before a byte of the answer.
    Stale,
    /// A connection was lost before a byte of the answer, and it is not known whether it had
    /// been idle.
    Lost,
    /// The exchange failed otherwise before an answer arrived.
    Failed,
    /// No answer arrived in the time that the attempt had.
    TimedOut,
    /// The total time of the request is over, which says nothing about the endpoint.
    OutOfTime,
    /// The gateway itself has refused it: nothing was sent.
    Shed,
    /// The client failed, which does not count against the engine.
    ClientFailed,
}

/// Why another engine may do better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Declined {
    /// It does not have the model.
    UnknownModel,
    /// The request is longer than its model's context.
    TooLong,
}

impl Outcome {
    /// Whether an answer proves that the endpoint works. A 500 proves nothing: the request may
    /// be at fault, or the engine.
    pub(crate) fn is_success(self) -> bool {
        match self {
            Self::Answered(status) => !matches!(status.as_u16(), 500 | 502..=504),
            Self::Full(..) | Self::Declined(..) => true,
            _ => false,
        }
    }
}

/// In words, for people.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(status) | Self::Full(status, None) => write!(f, "{}", status.as_u16()),
            Self::Full(status, Some(wait)) => {
                write!(f, "{}, retry after {wait:?}", status.as_u16())
            }
            Self::Declined(status, why) => {
                let why = match why {
                    Declined::UnknownModel => "it does not have the model",
                    Declined::TooLong => "the request is too long for it",
                };
                write!(f, "{}, {why}", status.as_u16())
            }
            Self::NotConnected => f.write_str("no connection"),
            Self::NotProcessed => f.write_str("not processed"),
            Self::Stale => f.write_str("an idle connection was closed"),
            Self::Lost => f.write_str("the connection was lost"),
            Self::Failed => f.write_str("no answer"),
            Self::TimedOut => f.write_str("timed out"),
            Self::OutOfTime => f.write_str("out of time"),
            Self::Shed => f.write_str("shed"),
            Self::ClientFailed => f.write_str("the client failed"),
        }
    }
}

/// What has made an endpoint fail, if it is not its answer.
struct Cause(Option<Outcome>);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(outcome) => outcome.fmt(f),
            None => f.write_str("its answer was late or broke off"),
        }
    }
}

impl Lease {
    /// Counts one more request as in flight to the endpoint.
    ///
    /// `None` if the endpoint is full, or if another request holds the trial.
    pub(crate) fn new(
        server: &Arc<Server>,
        position: usize,
        state: HealthState,
        ask: &Ask,
    ) -> Option<Self> {
        let on_trial = state == HealthState::HalfOpen;
        let endpoint = server.endpoints.get(position)?;
        if !endpoint.begin(server.policy.get_max_in_flight()) {
            return None;
        }
        if on_trial && !endpoint.health.begin_trial() {
            endpoint.end();
            endpoint.freed(&server.live.queue);
            return None;
        }
        if state.is_out() {
            endpoint.health.begin_last_resort();
        }
        let in_total = server.balancer.wants_total();
        if in_total {
            server.live.in_flight.fetch_add(1, Ordering::Relaxed);
        }
        let tokens = ask.is_weighed.then(|| {
            let tokens = server.balancer.tokens_at(position, ask);
            endpoint.weigh(tokens.all());
            tokens
        });
        server.balancer.has_chosen(position, ask);
        Some(Self {
            server: Arc::clone(server),
            position,
            on_trial,
            recovery: Recovery::default(),
            has_failed: false,
            in_total,
            begun: None,
            tokens,
        })
    }

    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.server.endpoints[self.position]
    }

    /// Whether the balance measures when answers begin.
    pub(crate) fn wants_beginning(&self) -> bool {
        self.begun.is_some() || self.tokens.is_some()
    }

    /// Whether this attempt has counted as a failure.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Records that the request will be sent after `wait`.
    pub(crate) fn begin(&mut self, wait: Duration) {
        self.has_failed = false;
        if self.server.balancer.wants_latency() {
            self.begun = Instant::now().checked_add(wait);
        }
        self.endpoint()
            .counts
            .requests
            .fetch_add(1, Ordering::Relaxed);
    }

    /// The request is sent only now.
    pub(crate) fn delayed(&mut self) {
        self.begun = self.begun.map(|_| Instant::now());
    }

    /// Counts how the attempt ended. A 500 counts for nothing yet, except in a trial: see
    /// [`Server::answered_500`].
    pub(crate) fn end(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Full(_, wait) => {
                let longest = self
                    .server
                    .policy
                    .get_outlier_detection()
                    .get_max_retry_after();
                let wait = wait.unwrap_or(BUSY).min(longest);
                self.endpoint().health.cool_down(wait);
                if !self.has_failed {
                    self.succeeded();
                }
            }
            Outcome::NotConnected | Outcome::Failed => self.failed_by(Some(outcome)),
            Outcome::TimedOut => {
                self.observe();
                self.failed_by(Some(outcome));
            }
            Outcome::Stale | Outcome::Lost if self.endpoint().health.lost() => {
                self.failed_by(Some(outcome));
            }
            // It was slow, which an answer in the end does not undo.
            Outcome::Answered(_) | Outcome::Declined(..)
                if outcome.is_success() && self.has_failed => {}
            Outcome::Answered(_) if outcome.is_success() => self.succeeded(),
            Outcome::Declined(..) => self.succeeded(),
            Outcome::Answered(StatusCode::INTERNAL_SERVER_ERROR) if !self.on_trial => {
                self.begun = None;
            }
            Outcome::Answered(_) => self.failed_by(Some(outcome)),
            Outcome::NotProcessed
            | Outcome::Stale
            | Outcome::Lost
            | Outcome::OutOfTime
            | Outcome::Shed
            | Outcome::ClientFailed => {}
        }
    }

    /// Says, every ten seconds at most, why the endpoint can't be reached.
    pub(crate) fn complain(&self, error: &(dyn Error + 'static)) {
        let endpoint = self.endpoint();
        if let Some(unsaid) = endpoint.complaints.due() {
            warn!(
                target: "tower_model_route::upstream",
                server = &*self.server.name,
                endpoint = &**endpoint.uri(),
                endpoint_name = endpoint.name(),
                unsaid,
                error = %Chain(error),
                "engine can't be reached"
            );
        }
    }

    /// The answer has begun: its first content is there.
    ///
    /// An attempt that has failed has no latency: to fail at once is not to be fast.
    pub(crate) fn has_begun(&mut self) {
        if !self.has_failed {
            self.observe();
        }
        self.computed();
    }

    /// The engine has computed the prompt, which counts no more.
    fn computed(&mut self) {
        if let Some(tokens) = &mut self.tokens {
            let prompt = std::mem::take(&mut tokens.prompt);
            self.server.endpoints[self.position].release(prompt);
        }
    }

    fn observe(&mut self) {
        if let Some(begun) = self.begun.take() {
            let now = Instant::now();
            let latency = now.saturating_duration_since(begun);
            self.endpoint().latency.observe(latency, now);
        }
    }

    fn succeeded(&mut self) {
        self.on_trial = false;
        self.recovery = self.endpoint().health.succeeded();
        let Some(since) = self.recovery.ejected_since else {
            return;
        };
        let endpoint = &**self.endpoint();
        let others = self.server.outage_is_over(endpoint, since);
        for endpoint in std::iter::once(endpoint).chain(others) {
            info!(
                target: "tower_model_route::health",
                server = &*self.server.name,
                endpoint = &**endpoint.uri(),
                endpoint_name = endpoint.name(),
                "endpoint is back"
            );
            endpoint.wake_all();
        }
    }

    /// The answer has come to its end.
    pub(crate) fn completed(&self) {
        self.endpoint().health.completed();
    }

    /// The answer came too late, or has broken off.
    pub(crate) fn failed(&mut self) {
        self.failed_by(None);
    }

    /// The endpoint has failed this request, by how the attempt ended or in its answer.
    fn failed_by(&mut self, cause: Option<Outcome>) {
        if !std::mem::replace(&mut self.has_failed, true) {
            let on_trial = std::mem::take(&mut self.on_trial);
            let recovery = std::mem::take(&mut self.recovery);
            let endpoint = self.endpoint();
            self.server.blame(endpoint, recovery, on_trial, cause);
        }
    }
}

impl Server {
    /// Counts a failure of an endpoint, and ejects the endpoint if there are too many.
    fn blame(
        &self,
        endpoint: &Endpoint,
        recovery: Recovery,
        on_trial: bool,
        cause: Option<Outcome>,
    ) {
        let refused = cause == Some(Outcome::NotConnected);
        endpoint.counts.failures.fetch_add(1, Ordering::Relaxed);
        let (before, now) = endpoint.health.failed(recovery);
        let detection = self.policy.get_outlier_detection();
        let too_often = on_trial || now >= detection.get_consecutive_failures();
        let ejected = too_often.then(|| self.eject(endpoint, on_trial, refused));
        let (server, uri, endpoint_name) = (&*self.name, &**endpoint.uri(), endpoint.name());
        let cause = display(Cause(cause));
        if let Some(time) = ejected.flatten() {
            endpoint.counts.ejections.fetch_add(1, Ordering::Relaxed);
            let seconds = time.as_secs_f64();
            warn!(target: "tower_model_route::health", server, endpoint = uri, endpoint_name, cause, seconds, "endpoint ejected");
        } else if before < MANY_FAILURES
            && now >= MANY_FAILURES
            && !endpoint.health.state().is_out()
        {
            warn!(target: "tower_model_route::health", server, endpoint = uri, endpoint_name, cause, failures = now, "endpoint keeps failing");
        }
    }

    /// The endpoint at `position` answered 500 to a request that another endpoint answered, or
    /// that was not sent to another: in that case it counts once for each body.
    pub(crate) fn answered_500(&self, position: usize, body: Option<u64>) {
        if let Some(endpoint) = self.endpoints.get(position)
            && body.is_none_or(|body| endpoint.health.is_new_body(body))
        {
            let cause = Outcome::Answered(StatusCode::INTERNAL_SERVER_ERROR);
            self.blame(endpoint, Recovery::default(), false, Some(cause));
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let endpoint = self.endpoint();
        if self.on_trial {
            endpoint.health.end_trial();
        }
        if let Some(tokens) = self.tokens {
            endpoint.unweigh(tokens.all());
        }
        endpoint.end();
        if self.in_total {
            self.server.live.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        endpoint.freed(&self.server.live.queue);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(self.endpoint().uri()).finish()
    }
}
