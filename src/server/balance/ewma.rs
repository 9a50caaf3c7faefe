//! The latency of an endpoint, as an average that follows peaks at once.
//!
//! It is our own: tower's `PeakEwma` belongs to its own balancer and keeps its state in a mutex.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// After this time without an observation, a latency counts only 1/e of its value.
const DECAY: Duration = Duration::from_secs(10);

/// The cost, in seconds, of one more request at an endpoint that has requests in flight
/// but has not answered any yet: more than any measured latency.
const UNKNOWN: f64 = 3600.0;

/// An exponentially weighted moving average of latencies that jumps to peaks at once.
///
/// A latency above the average becomes the average. A latency below pulls it down
/// the more, the longer ago the last observation was. Without observations the
/// average decays, so that an endpoint that was slow is tried again.
#[derive(Debug)]
pub(crate) struct Ewma {
    start: Instant,
    /// The average in seconds as an `f32`, and the milliseconds since `start`
    /// at which it was observed; the average 0 means that nothing was measured yet.
    state: AtomicU64,
}

impl Ewma {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            state: AtomicU64::new(0),
        }
    }

    /// Takes the time from sending a request to its answer's head.
    ///
    /// An attempt that timed out counts with the time spent waiting for it. An attempt
    /// that failed at once must not count, or failing would look fast.
    pub(crate) fn observe(&self, latency: Duration, now: Instant) {
        // Not 0, which means that nothing was measured.
        let latency = latency.as_secs_f64().max(1e-6);
        let now = self.millis(now);
        let observed = |state| {
            let (average, at) = unpack(state);
            let kept = remaining(at, now);
            let average = if latency > average * kept {
                latency
            } else {
                average * kept + latency * (1.0 - kept)
            };
            Some(pack(average, now))
        };
        // The closure never returns None, so this never fails.
        let _ = self
            .state
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, observed);
    }

    /// The average, if anything was measured.
    pub(super) fn average(&self) -> Option<Duration> {
        let (average, at) = unpack(self.state.load(Ordering::Relaxed));
        let average = average * remaining(at, self.millis(Instant::now()));
        (average > 0.0).then(|| Duration::from_secs_f64(average))
    }

    /// How long ago the last one was observed.
    pub(super) fn age(&self) -> Duration {
        let (_, at) = unpack(self.state.load(Ordering::Relaxed));
        let age = self.millis(Instant::now()).wrapping_sub(at);
        Duration::from_millis(age.into())
    }

    /// The cost of one more request here, given the number already in flight:
    /// the average times the number of requests including the new one.
    ///
    /// An endpoint without measurements costs nothing while it is idle, so
    /// that it is tried, and more than any other while it is being tried.
    pub(super) fn cost(&self, in_flight: usize, now: Instant) -> f64 {
        let (average, at) = unpack(self.state.load(Ordering::Relaxed));
        if average == 0.0 {
            return UNKNOWN * in_flight as f64;
        }
        average * remaining(at, self.millis(now)) * (in_flight as f64 + 1.0)
    }

    fn millis(&self, now: Instant) -> u32 {
        // It wraps after 49 days: an average that old counts as a new one.
        now.saturating_duration_since(self.start).as_millis() as u32
    }
}

/// What is left of a weight, from one time to another. Times of other threads
/// may be a little later than ours.
fn remaining(from: u32, to: u32) -> f64 {
    let elapsed = to.wrapping_sub(from);
    let elapsed = if elapsed > u32::MAX / 2 { 0 } else { elapsed };
    (-f64::from(elapsed) / DECAY.as_millis() as f64).exp()
}

fn pack(average: f64, at: u32) -> u64 {
    u64::from((average as f32).to_bits()) << 32 | u64::from(at)
}

fn unpack(state: u64) -> (f64, u32) {
    (f32::from_bits((state >> 32) as u32).into(), state as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: f64) -> Duration {
        Duration::from_secs_f64(secs)
    }

    fn assert_near(actual: f64, expected: f64) {
        assert!(
            (actual - expected).abs() < expected * 1e-3,
            "{actual}, expected {expected}"
        );
    }

    #[test]
    fn it_jumps_to_a_peak_and_comes_down_slowly() {
        let ewma = Ewma::new();
        let start = ewma.start;
        ewma.observe(secs(1.0), start);
        assert_near(ewma.cost(0, start), 1.0);
        ewma.observe(secs(3.0), start + secs(0.1));
        assert_near(ewma.cost(0, start + secs(0.1)), 3.0);
        // A burst of quick answers in the same moment tells no more than one.
        for _ in 0..100 {
            ewma.observe(secs(1.0), start + secs(0.1));
        }
        assert_near(ewma.cost(0, start + secs(0.1)), 3.0);
        ewma.observe(secs(1.0), start + secs(10.1));
        let kept = (-1.0_f64).exp();
        assert_near(ewma.cost(0, start + secs(10.1)), 3.0 * kept + (1.0 - kept));
    }

    #[test]
    fn what_was_slow_is_forgotten() {
        let ewma = Ewma::new();
        ewma.observe(secs(5.0), ewma.start);
        let later = |time| ewma.cost(0, ewma.start + secs(time));
        assert_near(later(10.0), 5.0 * (-1.0_f64).exp());
        assert!(later(120.0) < 0.001);
    }

    #[test]
    fn it_costs_in_proportion_to_what_is_in_flight() {
        let ewma = Ewma::new();
        ewma.observe(secs(0.5), ewma.start);
        assert_near(ewma.cost(3, ewma.start), 2.0);
    }

    #[test]
    fn one_not_measured_yet_is_tried_once_at_a_time() {
        let (unknown, slow) = (Ewma::new(), Ewma::new());
        let now = slow.start;
        slow.observe(secs(60.0), now);
        assert!(unknown.cost(0, now) < slow.cost(0, now));
        assert!(unknown.cost(1, now) > slow.cost(10, now));
    }

    #[test]
    fn a_clock_that_goes_back_and_the_longest_latency_do_no_harm() {
        let ewma = Ewma::new();
        ewma.observe(secs(1.0), ewma.start + secs(5.0));
        assert_near(ewma.cost(0, ewma.start + secs(4.0)), 1.0);
        assert_near(ewma.cost(0, ewma.start - secs(4.0)), 1.0);
        ewma.observe(Duration::MAX, ewma.start);
        assert!(ewma.cost(1, ewma.start).is_finite());
        ewma.observe(Duration::ZERO, ewma.start + secs(3600.0));
        assert!(ewma.cost(0, ewma.start + secs(3600.0)) > 0.0);
    }
}
