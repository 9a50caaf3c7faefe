//! The traffic policy of a ModelServer: time limits, retries and limits on load.

use std::time::Duration;

use http::StatusCode;

#[cfg(feature = "serde")]
use super::serial;
use super::{
    declined::Declined, mistake::MistakeKind, on_interruption::Streaming,
    outlier_detection::OutlierDetection, session_sticky::SessionSticky,
};

/// How requests to a [`ModelServer`](crate::ModelServer) are sent: how long an
/// engine may take, which attempts are retried, and how much is sent at once.
///
/// Every part is optional:
///
/// | part | default | enforced by |
/// |---|---|---|
/// | [`timeout`](Self::timeout) | none | [`AttemptTimeoutLayer`](crate::AttemptTimeoutLayer) |
/// | [`total_timeout`](Self::total_timeout) | none | [`ModelRouteLayer`](crate::ModelRouteLayer) |
/// | [`first_event_gate`](Self::first_event_gate), [`first_event_slow`](Self::first_event_slow), [`first_event_timeout`](Self::first_event_timeout) | off | [`AttemptTimeoutLayer`](crate::AttemptTimeoutLayer) |
/// | [`stream_idle_timeout`](Self::stream_idle_timeout) | 5 min | [`ModelRouteLayer`](crate::ModelRouteLayer) |
/// | [`sse_keepalive`](Self::sse_keepalive) | off | [`ModelRouteLayer`](crate::ModelRouteLayer) |
/// | [`force_usage`](Self::force_usage) | off | [`ModelRouteLayer`](crate::ModelRouteLayer) |
/// | [`on_interruption`](Self::on_interruption) | an error event | [`ModelRouteLayer`](crate::ModelRouteLayer) |
/// | [`max_retries`](Self::max_retries) | 0 | [`Failover`](crate::Failover) |
/// | [`retry_interval`](Self::retry_interval) | 100 ms, growing to [`max_retry_interval`](Self::max_retry_interval), 2 s | [`Failover`](crate::Failover) |
/// | [`retry_statuses`](Self::retry_statuses) | 429, 500, 502, 503, 504 | [`Failover`](crate::Failover) |
/// | [`retry_unknown_model`](Self::retry_unknown_model) | on | [`AttemptTimeoutLayer`](crate::AttemptTimeoutLayer) and [`Failover`](crate::Failover) |
/// | [`retry_too_long`](Self::retry_too_long) | off | [`AttemptTimeoutLayer`](crate::AttemptTimeoutLayer) and [`Failover`](crate::Failover) |
/// | [`max_in_flight`](Self::max_in_flight) | none | [`ModelRouteLayer`](crate::ModelRouteLayer) |
/// | [`max_queue`](Self::max_queue) | 0: a request that finds no free endpoint is shed at once | [`ModelRouteLayer`](crate::ModelRouteLayer) |
/// | [`queue_timeout`](Self::queue_timeout) | 1 s | [`ModelRouteLayer`](crate::ModelRouteLayer) |
/// | [`slow_start`](Self::slow_start) | off | [`ModelRouteLayer`](crate::ModelRouteLayer) |
/// | [`prefer_zone`](Self::prefer_zone) | off | [`ModelRouteLayer`](crate::ModelRouteLayer) |
/// | [`session_sticky`](Self::session_sticky) | off | [`ModelRouteLayer`](crate::ModelRouteLayer) |
/// | [`outlier_detection`](Self::outlier_detection) | on, see there | [`ModelRouteLayer`](crate::ModelRouteLayer) and [`Failover`](crate::Failover) |
///
/// If a request is retried on another ModelServer, the policy of the first
/// ModelServer still decides the number of retries, the intervals and the total
/// timeout. The timeout of each attempt and its effect on the endpoint's health
/// are decided by the ModelServer that the attempt goes to.
///
/// ```
/// use std::time::Duration;
/// use tower_model_route::{ModelServer, TrafficPolicy};
///
/// let server = ModelServer::new("deepseek-r1-7b")
///     .endpoints(["http://10.0.0.7:8000", "http://10.0.0.8:8000"])
///     .traffic_policy(
///         TrafficPolicy::new()
///             .timeout(Duration::from_secs(10))
///             .max_retries(2)
///             .max_in_flight(64),
///     );
/// # let _ = server;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[must_use]
pub struct TrafficPolicy {
    #[cfg_attr(feature = "serde", serde(serialize_with = "serial::optional"))]
    timeout: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub(super) streaming: Streaming,
    #[cfg_attr(feature = "serde", serde(serialize_with = "serial::optional"))]
    total_timeout: Option<Duration>,
    max_retries: u32,
    #[cfg_attr(feature = "serde", serde(serialize_with = "serial::duration"))]
    retry_interval: Duration,
    #[cfg_attr(feature = "serde", serde(serialize_with = "serial::optional"))]
    max_retry_interval: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(serialize_with = "serial::statuses"))]
    retry_statuses: Vec<StatusCode>,
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub(super) declined: Declined,
    max_in_flight: Option<usize>,
    max_queue: usize,
    #[cfg_attr(feature = "serde", serde(serialize_with = "serial::duration"))]
    queue_timeout: Duration,
    #[cfg_attr(feature = "serde", serde(serialize_with = "serial::duration"))]
    slow_start: Duration,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    prefer_zone: Option<usize>,
    outlier_detection: OutlierDetection,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    session_sticky: Option<SessionSticky>,
}

impl Default for TrafficPolicy {
    fn default() -> Self {
        Self {
            timeout: None,
            streaming: Streaming::default(),
            total_timeout: None,
            max_retries: 0,
            retry_interval: Duration::from_millis(100),
            max_retry_interval: None,
            retry_statuses: vec![
                StatusCode::TOO_MANY_REQUESTS,
                StatusCode::INTERNAL_SERVER_ERROR,
                StatusCode::BAD_GATEWAY,
                StatusCode::SERVICE_UNAVAILABLE,
                StatusCode::GATEWAY_TIMEOUT,
            ],
            declined: Declined::default(),
            max_in_flight: None,
            max_queue: 0,
            queue_timeout: Duration::from_secs(1),
            slow_start: Duration::ZERO,
            prefer_zone: None,
            outlier_detection: OutlierDetection::default(),
            session_sticky: None,
        }
    }
}

impl TrafficPolicy {
    /// The defaults: no time limits but the `stream_idle_timeout` of 5 minutes, no retries, no limit on
    /// requests in flight.
    pub fn new() -> Self {
        Self::default()
    }

    /// The time one attempt may take to connect, send the request and get the
    /// answer's head; never the answer's body.
    ///
    /// It is enforced by the [`AttemptTimeoutLayer`](crate::AttemptTimeoutLayer),
    /// below the retries. When it expires and no retry is possible, the client
    /// gets a 504. No limit by default; zero is a [`BuildError`](crate::BuildError).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The time the whole request may take up to the answer's head, with the
    /// [`first_event_gate`](Self::first_event_gate) up to the first content event: queueing, all
    /// attempts, and the intervals between them.
    ///
    /// The time starts when the rule is found, before the request queues. A retry is started only if
    /// the remaining time covers the interval and the next attempt's `timeout`. No limit by default;
    /// zero is a [`BuildError`](crate::BuildError).
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.total_timeout = Some(timeout);
        self
    }

    /// How often a request may be retried after its first attempt, 0 by default.
    ///
    /// Each retry goes to an endpoint that has not failed the request yet: of this
    /// ModelServer, of the rule's other targets, or of its fallbacks. A connection that
    /// could not be opened does not cost a retry; see
    /// [`FailoverLayer`](crate::FailoverLayer).
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }

    /// The interval before the first retry, 100 ms by default.
    ///
    /// The interval doubles with each further retry, up to
    /// [`max_retry_interval`](Self::max_retry_interval), and varies by up to a
    /// quarter either way, so that many clients do not come back at once.
    pub fn retry_interval(mut self, interval: Duration) -> Self {
        self.retry_interval = interval;
        self
    }

    /// The longest interval between two attempts; by default 2 s, or the first interval if that
    /// is longer. Less than the first interval is a [`BuildError`](crate::BuildError).
    pub fn max_retry_interval(mut self, interval: Duration) -> Self {
        self.max_retry_interval = Some(interval);
        self
    }

    /// The statuses after which a request is retried: by default 429, 500, 502, 503 and 504.
    ///
    /// A vLLM that is shutting down, or whose engine core has died, answers every request with 500
    /// (measured with 0.32), so a sibling may do better. 529, Anthropic's status for being
    /// overloaded, is treated as 503.
    ///
    /// Connection errors and timeouts of an attempt are always retriable. 429
    /// and statuses from 500 on are accepted; any other is a
    /// [`BuildError`](crate::BuildError), because another engine would answer
    /// the same.
    pub fn retry_statuses(mut self, statuses: impl IntoIterator<Item = StatusCode>) -> Self {
        self.retry_statuses = statuses.into_iter().collect();
        self
    }

    /// How many requests may be in flight to each endpoint; no limit by default, and zero is a
    /// [`BuildError`](crate::BuildError).
    ///
    /// A full endpoint is skipped. If no other endpoint is free, the request
    /// queues if there is a queue, or is answered with 503 `overloaded`.
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.max_in_flight = Some(requests);
        self
    }

    /// The most requests that wait for a free endpoint, 0 by default.
    ///
    /// They are served in the order in which they arrived. A queue without a
    /// [`max_in_flight`](Self::max_in_flight) is a [`BuildError`](crate::BuildError).
    pub fn max_queue(mut self, requests: usize) -> Self {
        self.max_queue = requests;
        self
    }

    /// The longest time a request waits for a free endpoint, 1 s by default; zero is a
    /// [`BuildError`](crate::BuildError).
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.queue_timeout = timeout;
        self
    }

    /// Lets a new or recovered endpoint take its full share only after this time; zero, the
    /// default, is off.
    ///
    /// New is an endpoint that is added, by a reload or
    /// [`set_endpoints`](crate::RouteTableHandle::set_endpoints), to a ModelServer that had others;
    /// back is one whose ejection, failed health checks or
    /// [draining](crate::RouteTableHandle::drain) have ended. When the program starts, no endpoint
    /// is either. Its weight counts a tenth at first, and grows linearly to the full weight.
    /// (Envoy's `slow_start_config` is the same line without the tenth, but at least 10 %.)
    ///
    /// | balance | meanwhile it gets |
    /// |---|---|
    /// | round robin, random | that share of its turns |
    /// | least request, least tokens, prefix cache, peak EWMA | at most that share of its turns, and no extra requests for being idle |
    /// | consistent hash, prefix hash | that share of its keys; each key moves once. Requests without a key go as with least request |
    /// | custom | it is a candidate for that share of the requests |
    ///
    /// If no other endpoint can take a request, it takes it all the same.
    pub fn slow_start(mut self, time: Duration) -> Self {
        self.slow_start = time;
        self
    }

    /// Prefers endpoints in the gateway's [own zone](crate::RouteTableBuilder::zone) while one of
    /// them has fewer than this many `requests` in flight for each unit of its weight; 0, the
    /// default, is off. Start with 16: an engine easily works on that many side by side.
    ///
    /// With more in flight at each of them, a request may go to any zone if an endpoint elsewhere
    /// has less load per weight than each in the own zone; the balance then chooses among all. The
    /// same holds if none in the gateway's own zone can take a request. An endpoint without a known
    /// [zone](crate::Endpoint::zone) counts as elsewhere. Nothing is preferred if the gateway's own
    /// zone is not known, or no endpoint is in it.
    pub fn prefer_zone(mut self, requests: usize) -> Self {
        self.prefer_zone = Some(requests).filter(|requests| *requests > 0);
        self
    }

    /// When a failing endpoint is ejected, and for how long; on by default.
    pub fn outlier_detection(mut self, detection: OutlierDetection) -> Self {
        self.outlier_detection = detection;
        self
    }

    /// Binds sessions to endpoints; off by default.
    pub fn session_sticky(mut self, sticky: SessionSticky) -> Self {
        self.session_sticky = Some(sticky);
        self
    }

    /// How sessions are bound to endpoints, if they are.
    pub fn get_session_sticky(&self) -> Option<&SessionSticky> {
        self.session_sticky.as_ref()
    }

    /// The time limit of an attempt.
    pub fn get_timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The time limit of the request as a whole.
    pub fn get_total_timeout(&self) -> Option<Duration> {
        self.total_timeout
    }

    /// How often a request may be retried.
    pub fn get_max_retries(&self) -> u32 {
        self.max_retries
    }

    /// The time before the first retry.
    pub fn get_retry_interval(&self) -> Duration {
        self.retry_interval
    }

    /// The longest time between two attempts: 2 s, or the first interval if
    /// that is longer, unless it was set.
    pub fn get_max_retry_interval(&self) -> Duration {
        let default = || self.retry_interval.max(Duration::from_secs(2));
        self.max_retry_interval.unwrap_or_else(default)
    }

    /// The statuses after which a request is retried.
    pub fn get_retry_statuses(&self) -> &[StatusCode] {
        &self.retry_statuses
    }

    /// The most requests in flight to each endpoint.
    pub fn get_max_in_flight(&self) -> Option<usize> {
        self.max_in_flight
    }

    /// The most requests that wait for an endpoint.
    pub fn get_max_queue(&self) -> usize {
        self.max_queue
    }

    /// The longest time a request waits for an endpoint.
    pub fn get_queue_timeout(&self) -> Duration {
        self.queue_timeout
    }

    /// How long a new or recovered endpoint takes to reach its full share; zero is
    /// off.
    pub fn get_slow_start(&self) -> Duration {
        self.slow_start
    }

    /// Below how many requests in flight per unit of weight the gateway's zone is preferred, if it
    /// is.
    pub fn get_prefer_zone(&self) -> Option<usize> {
        self.prefer_zone
    }

    /// When a failing endpoint is ejected.
    pub fn get_outlier_detection(&self) -> &OutlierDetection {
        &self.outlier_detection
    }

    /// The mistakes, each with the name of its option.
    pub(crate) fn mistakes(&self) -> Vec<(&'static str, MistakeKind)> {
        let mut mistakes = Vec::new();
        let times = [
            ("timeout", self.timeout),
            ("total_timeout", self.total_timeout),
            ("queue_timeout", Some(self.queue_timeout)),
        ];
        for (part, time) in times {
            if time.is_some_and(|time| time.is_zero()) {
                mistakes.push((part, MistakeKind::ZeroTime));
            }
        }
        if self.get_max_retry_interval() < self.retry_interval {
            mistakes.push(("max_retry_interval", MistakeKind::MaximumTooSmall));
        }
        let is_retriable = |status: &&StatusCode| status.as_u16() == 429 || status.as_u16() >= 500;
        for status in self
            .retry_statuses
            .iter()
            .filter(|status| !is_retriable(status))
        {
            let mistake = MistakeKind::NotRetriable(status.as_u16());
            mistakes.push(("retry_statuses", mistake));
        }
        if self.max_in_flight == Some(0) {
            mistakes.push(("max_in_flight", MistakeKind::ZeroLimit));
        }
        if self.max_queue > 0 && self.max_in_flight.is_none() {
            mistakes.push(("max_queue", MistakeKind::QueueWithoutLimit));
        }
        mistakes.extend(self.outlier_detection.mistakes());
        let sticky = self.session_sticky.iter();
        let sticky = sticky.flat_map(SessionSticky::mistakes);
        mistakes.extend(sticky.map(|mistake| ("session_sticky", mistake)));
        mistakes
    }
}
