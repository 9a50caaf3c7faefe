//! Intervals with jitter, so that replicas don't act at the same moment.

use std::{ops::Range, time::Duration};

/// A time between these parts of `time`.
pub(crate) fn jittered(time: Duration, parts: Range<f64>) -> Duration {
    let part = parts.start + (parts.end - parts.start) * fastrand::f64();
    // More than the longest is the longest.
    Duration::try_from_secs_f64(time.as_secs_f64() * part).unwrap_or(Duration::MAX)
}
