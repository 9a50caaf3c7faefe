//! Time limits of streams that contradict each other.

use std::time::Duration;

use crate::config::TrafficPolicy;

/// Times of streams that never come, because another always comes first.
pub(super) fn unreachable_times(policy: &TrafficPolicy) -> impl Iterator<Item = String> + use<> {
    let timeout = ("timeout", policy.get_timeout());
    let slow = ("first_event_slow", policy.get_first_event_slow());
    let first = ("first_event_timeout", policy.get_first_event_timeout());
    let total = ("total_timeout", policy.get_total_timeout());
    // The head is held back, so that the time for it is that for the first event.
    let is_held = policy.get_first_event_gate() || first.1.is_some();
    let total = (total.0, total.1.filter(|_| is_held));
    // Not among them: stream_idle_timeout, which counts from the head on, and sse_keepalive, which
    // counts from whatever the client got last.
    let pairs = [
        (timeout, first),
        (slow, first),
        (slow, total),
        (first, total),
    ];
    pairs.into_iter().filter_map(|(later, earlier)| {
        let (never, always): (Duration, Duration) = later.1.zip(earlier.1)?;
        (never >= always).then(|| {
            format!(
                "its {} of {never:?} never takes effect: its {} of {always:?} is over first",
                later.0, earlier.0
            )
        })
    })
}
