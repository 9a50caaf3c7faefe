//! One request at one endpoint: it counts as in flight there until the lease is dropped.
//!
//! Dropping it first gives an undecided trial back, then lowers the count, and only then wakes
//! the queue, so that a waiting request finds the endpoint free.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::StatusCode;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{endpoint::Endpoint, health::HealthState, model_server::Server};

/// A request in flight to an endpoint; the count goes down when it is dropped.
pub(crate) struct Lease {
    server: Arc<Server>,
    position: usize,
    /// Whether this request is the trial that decides about the endpoint's return.
    on_trial: bool,
    /// The failures in a row that its answer ended; they are restored if the answer breaks off.
    forgiven: u32,
    has_failed: bool,
    /// Whether this request counts in the ModelServer's total.
    in_total: bool,
    /// When the request is sent, if the balance needs the latency.
    begun: Option<Instant>,
}

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The engine has answered with this status and this `Retry-After`.
    Answered(StatusCode, Option<Duration>),
    /// The exchange failed before an answer arrived.
    Failed,
    /// No answer arrived in time.
    TimedOut,
    /// A layer of the gateway has refused it: nothing was sent.
    Shed,
    /// The client failed, which does not count against the engine.
    ClientFailed,
}

/// In words, for people.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(status, None) => write!(f, "{}", status.as_u16()),
            Self::Answered(status, Some(wait)) => {
                write!(f, "{}, retry after {wait:?}", status.as_u16())
            }
            Self::Failed => f.write_str("no answer"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Shed => f.write_str("shed"),
            Self::ClientFailed => f.write_str("the client failed"),
        }
    }
}

impl Lease {
    /// Counts one more request as in flight to the endpoint.
    ///
    /// `None` if the endpoint is full, or if another request holds the trial.
    pub(crate) fn new(server: &Arc<Server>, position: usize, state: HealthState) -> Option<Self> {
        let on_trial = state == HealthState::HalfOpen;
        let endpoint = server.endpoints.get(position)?;
        if !endpoint.begin(server.policy.get_max_in_flight()) {
            return None;
        }
        if on_trial && !endpoint.health.begin_trial() {
            endpoint.end();
            server.live.queue.freed();
            return None;
        }
        let in_total = server.balancer.wants_total();
        if in_total {
            server.live.in_flight.fetch_add(1, Ordering::Relaxed);
        }
        Some(Self {
            server: Arc::clone(server),
            position,
            on_trial,
            forgiven: 0,
            has_failed: false,
            in_total,
            begun: None,
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

    /// Records that the request will be sent after `wait`.
    pub(crate) fn begin(&mut self, wait: Duration) {
        if self.server.balancer.wants_latency() {
            self.begun = Instant::now().checked_add(wait);
        }
        self.endpoint()
            .counts
            .requests
            .fetch_add(1, Ordering::Relaxed);
    }

    /// Counts how the attempt ended.
    pub(crate) fn end(&mut self, outcome: Outcome) {
        self.observe(outcome);
        let detection = self.server.policy.get_outlier_detection();
        let cooling = |wait: Duration| wait.min(detection.get_max_retry_after());
        match outcome {
            Outcome::Answered(
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE,
                Some(wait),
            ) => {
                self.endpoint().health.cool_down(cooling(wait));
                self.succeeded();
            }
            Outcome::Failed
            | Outcome::TimedOut
            | Outcome::Answered(
                StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT,
                _,
            ) => self.failed(),
            Outcome::Answered(..) => self.succeeded(),
            Outcome::Shed | Outcome::ClientFailed => {}
        }
    }

    /// Records the latency, but not of an attempt that failed at once: that is not a fast answer.
    fn observe(&mut self, outcome: Outcome) {
        if let Some(begun) = self.begun.take()
            && matches!(outcome, Outcome::Answered(..) | Outcome::TimedOut)
        {
            let now = Instant::now();
            let latency = now.saturating_duration_since(begun);
            self.endpoint().latency.observe(latency, now);
        }
    }

    fn succeeded(&mut self) {
        let was_ejected = std::mem::take(&mut self.on_trial);
        self.forgiven = self.endpoint().health.succeeded(was_ejected);
        if was_ejected {
            let (server, endpoint) = (&*self.server.name, &**self.endpoint().uri());
            info!(target: "tower_model_route::health", server, endpoint, "endpoint is back");
        }
    }

    /// The endpoint has failed this request, before its answer or in the middle of it.
    pub(crate) fn failed(&mut self) {
        if std::mem::replace(&mut self.has_failed, true) {
            return;
        }
        let endpoint = Arc::clone(self.endpoint());
        endpoint.counts.failures.fetch_add(1, Ordering::Relaxed);
        let detection = self.server.policy.get_outlier_detection();
        let too_often = endpoint.health.failed(detection, self.forgiven);
        let time = if std::mem::take(&mut self.on_trial) {
            endpoint.health.eject(detection)
        } else if too_often && let Some(time) = self.server.eject(&endpoint) {
            time
        } else {
            return;
        };
        endpoint.counts.ejections.fetch_add(1, Ordering::Relaxed);
        warn!(
            target: "tower_model_route::health",
            server = &*self.server.name,
            endpoint = &**endpoint.uri(),
            seconds = time.as_secs_f64(),
            "endpoint ejected"
        );
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let endpoint = self.endpoint();
        if self.on_trial {
            endpoint.health.end_trial();
        }
        endpoint.end();
        if self.in_total {
            self.server.live.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        self.server.live.queue.freed();
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(self.endpoint().uri()).finish()
    }
}
