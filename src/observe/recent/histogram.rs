//! Durations in fixed buckets whose width grows with them.

use std::{
    array,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// The width of the first buckets, as a power of two microseconds: 64.
const UNIT: u32 = 6;
/// Each doubling has 2 to the power of this many buckets: the middle of one is at most a sixteenth
/// off.
const STEPS: u32 = 3;
/// The last bucket begins at 67 minutes.
const DOUBLINGS: u32 = 23;
const BUCKETS: usize = ((DOUBLINGS + 1) << STEPS) as usize;

/// Counts durations.
#[derive(Debug)]
pub(super) struct Histogram([AtomicU32; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self(array::from_fn(|_| AtomicU32::new(0)))
    }
}

impl Histogram {
    pub(super) fn record(&self, duration: Duration) {
        if let Some(bucket) = self.0.get(bucket(duration)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn bucket(duration: Duration) -> usize {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let units = micros >> UNIT;
    // Those below the first doubling are all of one width.
    let doubling = (units >> STEPS).checked_ilog2().map_or(0, |log| log + 1);
    let within = units >> doubling.saturating_sub(1);
    let first = u64::from(doubling.saturating_sub(1)) << STEPS;
    usize::try_from(first + within).map_or(BUCKETS - 1, |bucket| bucket.min(BUCKETS - 1))
}

/// The middle of a bucket, in microseconds.
fn middle(bucket: usize) -> f64 {
    let (doubling, within) = (bucket >> STEPS, bucket % (1 << STEPS));
    let (width, begin) = match doubling.checked_sub(1) {
        None => (1, within),
        Some(more) => (1_u64 << more, within + (1 << STEPS)),
    };
    let units = width as f64 * (begin as f64 + 0.5);
    units * f64::from(1 << UNIT)
}

/// What several histograms have counted.
#[derive(Debug)]
pub(super) struct Counted {
    buckets: [u64; BUCKETS],
    all: u64,
}

impl Default for Counted {
    fn default() -> Self {
        Self {
            buckets: [0; BUCKETS],
            all: 0,
        }
    }
}

impl Counted {
    pub(super) fn add(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.0) {
            let count = u64::from(bucket.load(Ordering::Relaxed));
            *sum += count;
            self.all += count;
        }
    }

    /// The seconds that this percentage of the durations does not exceed; `None` if there are none.
    pub(super) fn percentile(&self, percent: u64) -> Option<f64> {
        let rank = (self.all * percent).div_ceil(100);
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|count| {
            seen += count;
            *count > 0 && seen >= rank
        })?;
        Some(middle(bucket) / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(micros: u64) -> f64 {
        let histogram = Histogram::default();
        histogram.record(Duration::from_micros(micros));
        let mut counted = Counted::default();
        counted.add(&histogram);
        counted.percentile(50).unwrap() * 1e6
    }

    proptest! {
        #[test]
        fn what_is_shown_is_a_sixteenth_off_at_most(micros in 0_u64..4_000_000_000) {
            let (off, micros) = ((shown(micros) - micros as f64).abs(), micros as f64);
            prop_assert!(off <= (micros / 16.0).max(32.0), "{micros}: {off}");
        }

        #[test]
        fn longer_is_never_shown_as_shorter(one in 0_u64..1 << 40, more in 0_u64..1 << 40) {
            prop_assert!(bucket(Duration::from_micros(one)) <= bucket(Duration::from_micros(one + more)));
        }
    }

    #[test]
    fn any_duration_has_a_bucket() {
        assert_eq!(bucket(Duration::ZERO), 0);
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
        assert_eq!(bucket(Duration::from_micros(64 * 8)), 8);
    }

    #[test]
    fn percentiles_are_ranks() {
        let histogram = Histogram::default();
        for millis in 1..=100 {
            histogram.record(Duration::from_millis(millis));
        }
        let mut counted = Counted::default();
        assert_eq!(counted.percentile(50), None);
        counted.add(&histogram);
        for percent in [1, 50, 90, 99, 100] {
            let shown = counted.percentile(percent).unwrap() * 1e3;
            let off = (shown - percent as f64).abs();
            assert!(off <= percent as f64 / 16.0, "p{percent} is {shown}");
        }
    }
}
