//! A time in the future that can't overflow the clock.

use std::time::Duration;

use tokio::time::Instant;

/// `time` after `now`, or a year after it where the clock can't represent that.
pub(crate) fn later(now: Instant, time: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    now.checked_add(time).unwrap_or(now + YEAR)
}
