//! When a failing endpoint is ejected: the configuration.

use std::time::Duration;

use super::mistake::MistakeKind;
#[cfg(feature = "serde")]
use super::serial;

/// When a failing endpoint is ejected, for how long, and how many at once.
///
/// Failures are connections that could not be opened or were lost, attempts that timed out, first
/// events that were late ([`first_event_slow`](crate::TrafficPolicy::first_event_slow),
/// [`first_event_timeout`](crate::TrafficPolicy::first_event_timeout)), answers that break off or
/// stall, and the statuses 502, 503 and 504. A 500 counts if it is not the request's fault: if
/// another endpoint answered the same request, or else once for each body. These say nothing about
/// the endpoint: any 4xx, failures of the client, the total timeout, a limit or a shortage of the
/// gateway itself, and an idle connection that was lost before a byte of an answer.
///
/// An endpoint that is full is not failing: after a 429 or 529, or a 503 with `Retry-After` or
/// with a JSON error of at most 4 KiB that says `busy` (as vLLM's does), it is skipped for as
/// long as it asked, or for a second.
///
/// An ejected endpoint gets no requests for the ejection time. Then it is half-open: one trial
/// request is let through. If the trial succeeds, the endpoint is back; if it fails, it is
/// ejected for twice as long, but never for more than 30 s if it refuses connections. A
/// success at any time brings it back, and, if nothing else was healthy, also those that the
/// same outage had ejected. Passed [health checks](crate::HealthCheck) bring back an endpoint
/// that had refused connections.
///
/// Each ejection is logged with its cause, as an event at WARN with the target
/// `tower_model_route::health`; so are eight failures in a row of an endpoint that is not
/// ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[must_use]
pub struct OutlierDetection {
    consecutive_failures: u32,
    #[cfg_attr(feature = "serde", serde(serialize_with = "serial::duration"))]
    base_ejection_time: Duration,
    #[cfg_attr(feature = "serde", serde(serialize_with = "serial::optional"))]
    max_ejection_time: Option<Duration>,
    max_ejection_percent: u32,
    #[cfg_attr(feature = "serde", serde(serialize_with = "serial::duration"))]
    max_retry_after: Duration,
    off: bool,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            base_ejection_time: Duration::from_secs(10),
            max_ejection_time: None,
            max_ejection_percent: 100,
            max_retry_after: Duration::from_secs(60),
            off: false,
        }
    }
}

impl OutlierDetection {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// No endpoint is ever ejected for failed requests.
    pub fn off() -> Self {
        Self {
            off: true,
            ..Self::default()
        }
    }

    /// The number of failures in a row after which an endpoint is ejected, 5 by default.
    pub fn consecutive_failures(mut self, failures: u32) -> Self {
        self.consecutive_failures = failures;
        self
    }

    /// How long an endpoint is ejected the first time, 10 s by default; it doubles with each
    /// further ejection in a row.
    pub fn base_ejection_time(mut self, time: Duration) -> Self {
        self.base_ejection_time = time;
        self
    }

    /// The longest time that an endpoint is ejected; by default 300 s, or the
    /// first ejection time if that is longer.
    pub fn max_ejection_time(mut self, time: Duration) -> Self {
        self.max_ejection_time = Some(time);
        self
    }

    /// The percentage of a ModelServer's endpoints that may be ejected at once, 100 by
    /// default; the number is rounded down.
    ///
    /// No limit is needed to keep a ModelServer in service: if nothing is healthy, ejected
    /// endpoints are tried in turn. An endpoint that fails too often while no more may be
    /// ejected is out as well, but only for a second at a time, so that it comes back soon
    /// after it recovers. It is never chosen before a healthy one.
    pub fn max_ejection_percent(mut self, percent: u32) -> Self {
        self.max_ejection_percent = percent;
        self
    }

    /// The longest `Retry-After` accepted from an engine, 60 s by default.
    ///
    /// An endpoint that answered 429, 503 or 529 with `Retry-After` gets no new
    /// requests for that time, at most this long, while others are usable.
    pub fn max_retry_after(mut self, time: Duration) -> Self {
        self.max_retry_after = time;
        self
    }

    /// Whether endpoints are never ejected.
    pub fn is_off(&self) -> bool {
        self.off
    }

    /// The number of failures in a row after which an endpoint is ejected.
    pub fn get_consecutive_failures(&self) -> u32 {
        self.consecutive_failures
    }

    /// The time for which an endpoint is ejected the first time.
    pub fn get_base_ejection_time(&self) -> Duration {
        self.base_ejection_time
    }

    /// The longest time that an endpoint is ejected: 300 s, or the first
    /// ejection time if that is longer, unless it was set.
    pub fn get_max_ejection_time(&self) -> Duration {
        let default = || self.base_ejection_time.max(Duration::from_secs(300));
        self.max_ejection_time.unwrap_or_else(default)
    }

    /// The percentage of a ModelServer's endpoints that may be ejected at once.
    pub fn get_max_ejection_percent(&self) -> u32 {
        self.max_ejection_percent
    }

    /// The longest `Retry-After` accepted from an engine.
    pub fn get_max_retry_after(&self) -> Duration {
        self.max_retry_after
    }

    pub(super) fn mistakes(&self) -> Vec<(&'static str, MistakeKind)> {
        let mut mistakes = Vec::new();
        if self.consecutive_failures == 0 {
            mistakes.push(("consecutive_failures", MistakeKind::ZeroLimit));
        }
        if self.base_ejection_time.is_zero() {
            mistakes.push(("base_ejection_time", MistakeKind::ZeroTime));
        }
        if self.get_max_ejection_time() < self.base_ejection_time {
            mistakes.push(("max_ejection_time", MistakeKind::MaximumTooSmall));
        }
        if self.max_ejection_percent > 100 {
            let mistake = MistakeKind::PercentTooLarge(self.max_ejection_percent);
            mistakes.push(("max_ejection_percent", mistake));
        }
        mistakes
    }
}
