//! The time limits of an attempt.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::TrafficPolicy;

/// When which time of an attempt that begins now is over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AttemptTimes {
    /// That for the answer's head.
    pub(crate) head: Option<Instant>,
    /// That of the request as a whole.
    pub(crate) total: Option<Instant>,
    /// That for the first content event.
    pub(crate) first: Option<Instant>,
    /// From then on a missing first event counts as a failure.
    pub(crate) slow: Option<Instant>,
    /// Whether the answer is held back until its first content event.
    pub(crate) is_gated: bool,
    /// The longest time from the head to that.
    pub(crate) idle: Option<Duration>,
    /// Whether an answer is read that may say that the engine does not have the model.
    pub(crate) sees_unknown_model: bool,
    /// Whether one is that may say that the request is too long.
    pub(crate) sees_too_long: bool,
}

impl AttemptTimes {
    pub(super) fn of(policy: &TrafficPolicy, total: Option<Instant>) -> Self {
        let times = [
            policy.get_timeout(),
            policy.get_first_event_timeout(),
            policy.get_first_event_slow(),
        ];
        // Usually there is none, and the clock is not read.
        let now = (times != [None; 3]).then(Instant::now);
        let [head, first, slow] = times.map(|time| now?.checked_add(time?));
        Self {
            head,
            total,
            first,
            slow,
            is_gated: policy.holds_first_event(),
            idle: policy.get_stream_idle_timeout(),
            sees_unknown_model: policy.get_retry_unknown_model(),
            sees_too_long: policy.get_retry_too_long(),
        }
    }
}
