//! When an endpoint that fails is left out.

use std::time::Duration;

use super::mistake::MistakeKind;
#[cfg(feature = "serde")]
use super::serial;

/// When an endpoint that fails is ejected, for how long, and how many at once.
///
/// What counts as a failure: a connection error, an attempt that timed out,
/// an answer that breaks off or falls silent in the middle, and an answer of
/// 502, 503 or 504, which come from something in front of the model. Not the
/// model's own answers: any 4xx, a 500, and a 503 that says when to come back
/// (`Retry-After`), after which the endpoint is only passed over for that long.
///
/// An ejected endpoint gets no requests for the ejection time. Then one
/// request is let through to it as a trial, and how that ends decides: it is
/// back, or ejected for twice as long.
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
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            base_ejection_time: Duration::from_secs(10),
            max_ejection_time: None,
            max_ejection_percent: 50,
            max_retry_after: Duration::from_secs(60),
        }
    }
}

impl OutlierDetection {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// No endpoint is ever ejected.
    pub fn off() -> Self {
        Self::default().max_ejection_percent(0)
    }

    /// After how many failures in a row an endpoint is ejected, 5 by default.
    pub fn consecutive_failures(mut self, failures: u32) -> Self {
        self.consecutive_failures = failures;
        self
    }

    /// For how long it is ejected the first time, 10 s by default; each time in a row it is twice as long.
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

    /// The share of a ModelServer's endpoints that may be ejected at once, in percent
    /// and rounded down, 50 by default: of a single one none is, of two or three one.
    pub fn max_ejection_percent(mut self, percent: u32) -> Self {
        self.max_ejection_percent = percent;
        self
    }

    /// The longest `Retry-After` of an engine that is believed, 60 s by default.
    ///
    /// For so long no new request goes to an endpoint that answered with 429
    /// or 503 and said when to come back, while there are others.
    pub fn max_retry_after(mut self, time: Duration) -> Self {
        self.max_retry_after = time;
        self
    }

    /// After how many failures in a row an endpoint is ejected.
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

    /// The share of a ModelServer's endpoints that may be ejected at once, in percent.
    pub fn get_max_ejection_percent(&self) -> u32 {
        self.max_ejection_percent
    }

    /// The longest `Retry-After` that is believed.
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
