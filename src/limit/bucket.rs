//! One bucket in memory.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// The time in units of a limit: how many have flowed into its buckets since it was made.
///
/// It is computed from the beginning each time, so that no rounding adds up: a bucket gets exactly
/// its amount in each period.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inflow {
    start: Instant,
    amount: u64,
    period: Duration,
}

/// A moment, as an [`Inflow`] has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(u64);

impl Inflow {
    pub(super) fn new(amount: u64, period: Duration) -> Self {
        Self {
            start: Instant::now(),
            amount,
            period,
        }
    }

    /// The size of its buckets.
    pub(super) fn capacity(&self) -> u64 {
        self.amount
    }

    pub(super) fn at(&self, now: Instant) -> Moment {
        let passed = now.saturating_duration_since(self.start).as_nanos();
        // A u128 has room for 2^32 units a nanosecond over centuries.
        let units = passed.saturating_mul(self.amount.into()) / self.period.as_nanos().max(1);
        Moment(u64::try_from(units).unwrap_or(u64::MAX))
    }

    /// How long it takes until this many units have flowed in.
    pub(super) fn time_of(&self, units: u64) -> Duration {
        let nanos = u128::from(units)
            .saturating_mul(self.period.as_nanos())
            .div_ceil(u128::from(self.amount.max(1)));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How long it is from `now` until this many units have flowed in since the
    /// beginning.
    fn until(&self, units: u64, now: Instant) -> Duration {
        let then = self.time_of(units);
        then.saturating_sub(now.saturating_duration_since(self.start))
    }
}

/// A bucket: the moment at which it will be full, in one word that is compared and swapped.
///
/// Its level is what it holds less what has to flow in until then. A moment that has passed is a
/// full bucket; one farther away than the bucket is large is a debt.
#[derive(Debug, Default)]
pub(super) struct Bucket(AtomicU64);

/// What a look at a bucket says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    /// Below zero in debt.
    pub(super) left: i64,
    /// Until it is full.
    pub(super) until_full: Duration,
}

impl Bucket {
    /// Takes `amount` if the bucket holds that; otherwise how long it takes until it will.
    pub(super) fn take(
        &self,
        amount: u64,
        inflow: &Inflow,
        now: Instant,
    ) -> Result<Level, Duration> {
        let Moment(moment) = inflow.at(now);
        let limit = moment.saturating_add(inflow.capacity());
        let taken = self.change(|full| {
            let full = full.max(moment).saturating_add(amount);
            (full <= limit).then_some(full)
        });
        match taken {
            Ok(full) => Ok(level(full, inflow, now)),
            Err(full) => {
                let full = full.max(moment).saturating_add(amount);
                Err(inflow.until(full.saturating_sub(inflow.capacity()), now))
            }
        }
    }

    /// Takes `amount` whatever is left.
    pub(super) fn charge(&self, amount: u64, inflow: &Inflow, now: Instant) {
        let Moment(moment) = inflow.at(now);
        _ = self.change(|full| Some(full.max(moment).saturating_add(amount)));
    }

    /// Gives back what was taken; what a full bucket is given is lost.
    pub(super) fn give_back(&self, amount: u64) {
        _ = self.change(|full| Some(full.saturating_sub(amount)));
    }

    pub(super) fn level(&self, inflow: &Inflow, now: Instant) -> Level {
        level(self.0.load(Ordering::Relaxed), inflow, now)
    }

    /// The new word; or, if there is none, the old one. No other memory depends on it.
    fn change(&self, change: impl Fn(u64) -> Option<u64>) -> Result<u64, u64> {
        let mut old = self.0.load(Ordering::Relaxed);
        loop {
            let new = change(old).ok_or(old)?;
            let swapped =
                self.0
                    .compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed);
            match swapped {
                Ok(_) => return Ok(new),
                Err(other) => old = other,
            }
        }
    }
}

/// How much has to flow in until there is this much.
pub(super) fn missing(amount: u64, left: i64) -> u64 {
    let amount = i64::try_from(amount).unwrap_or(i64::MAX);
    u64::try_from(amount.saturating_sub(left)).unwrap_or(0)
}

fn level(full: u64, inflow: &Inflow, now: Instant) -> Level {
    let Moment(moment) = inflow.at(now);
    let missing = full.saturating_sub(moment);
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    Level {
        left: signed(inflow.capacity()).saturating_sub(signed(missing)),
        until_full: match missing {
            0 => Duration::ZERO,
            _ => inflow.until(full, now),
        },
    }
}

/// How many requests are under way.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Counts one more, unless there are `most`; how many more there may be.
    pub(super) fn enter(&self, most: u64) -> Option<u64> {
        let count = |count: u64| (count < most).then_some(count + 1);
        let before = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        before.ok().map(|before| most - before - 1)
    }

    pub(super) fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use proptest::prelude::*;

    use super::*;

    /// What a bucket is meant to be.
    struct Naive {
        capacity: i64,
        level: i64,
    }

    /// One step of some request, or of time.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Take(u64),
        Charge(u64),
        GiveBack(u64),
        Flow(u64),
    }

    impl Naive {
        fn step(&mut self, step: Step) -> bool {
            let level = match step {
                Step::Take(amount) if self.level < amount as i64 => return false,
                Step::Take(amount) | Step::Charge(amount) => self.level - amount as i64,
                Step::GiveBack(amount) | Step::Flow(amount) => self.level + amount as i64,
            };
            self.level = level.min(self.capacity);
            true
        }
    }

    /// Units of an amount each second, one a nanosecond as it happens: time is exact.
    fn inflow(capacity: u64) -> Inflow {
        Inflow::new(capacity, Duration::from_nanos(capacity))
    }

    fn step(bucket: &Bucket, inflow: &Inflow, now: &mut Instant, step: Step) -> bool {
        match step {
            Step::Take(amount) => return bucket.take(amount, inflow, *now).is_ok(),
            Step::Charge(amount) => bucket.charge(amount, inflow, *now),
            Step::GiveBack(amount) => bucket.give_back(amount),
            Step::Flow(amount) => *now += Duration::from_nanos(amount),
        }
        true
    }

    /// All orders in which the lists can be merged.
    fn merged(lists: &[&[Step]]) -> Vec<Vec<Step>> {
        if lists.iter().all(|list| list.is_empty()) {
            return vec![Vec::new()];
        }
        let mut all = Vec::new();
        for (at, list) in lists.iter().enumerate() {
            let Some((first, rest)) = list.split_first() else {
                continue;
            };
            let mut left = lists.to_vec();
            left[at] = rest;
            for mut order in merged(&left) {
                order.insert(0, *first);
                all.push(order);
            }
        }
        all
    }

    /// Each step is one compare-and-swap, so that what threads can do is some order of the steps.
    #[test]
    fn no_order_of_reserving_and_settling_loses_or_makes_a_token() {
        use Step::{Charge, Flow, GiveBack, Take};
        let requests: [&[Step]; 4] = [
            // Used more than it reserved, less, nothing.
            &[Take(4), Charge(9)],
            &[Take(6), GiveBack(5)],
            &[Take(3), GiveBack(3)],
            &[Flow(4), Flow(7)],
        ];
        let orders = merged(&requests);
        assert_eq!(orders.len(), 2520);
        for order in orders {
            let inflow = inflow(10);
            let bucket = Bucket::default();
            let mut now = inflow.start;
            let mut naive = Naive {
                capacity: 10,
                level: 10,
            };
            for &next in &order {
                let passed = step(&bucket, &inflow, &mut now, next);
                assert_eq!(passed, naive.step(next), "{next:?} of {order:?}");
                assert_eq!(bucket.level(&inflow, now).left, naive.level, "{order:?}");
            }
        }
    }

    #[test]
    fn threads_take_exactly_what_is_there() {
        let inflow = Inflow::new(10_000, Duration::from_secs(1 << 40));
        let bucket = Arc::new(Bucket::default());
        let now = inflow.start;
        let takers: Vec<_> = (0..4)
            .map(|_| {
                let bucket = Arc::clone(&bucket);
                thread::spawn(move || {
                    let mut taken = 0_u64;
                    for turn in 0..4_000_u64 {
                        if bucket.take(3, &inflow, now).is_err() {
                            continue;
                        }
                        match turn % 4 {
                            0 => bucket.give_back(3),
                            1 => {
                                bucket.charge(1, &inflow, now);
                                taken += 4;
                            }
                            _ => taken += 3,
                        }
                    }
                    taken
                })
            })
            .collect();
        let taken: u64 = takers.into_iter().map(|taker| taker.join().unwrap()).sum();
        assert_eq!(bucket.level(&inflow, now).left, 10_000 - taken as i64);
    }

    #[test]
    fn the_wait_is_until_the_amount_fits_and_not_shorter() {
        let inflow = Inflow::new(7, Duration::from_secs(60));
        let bucket = Bucket::default();
        let start = inflow.start;
        assert_eq!(bucket.take(7, &inflow, start).unwrap().left, 0);
        let wait = bucket.take(2, &inflow, start).unwrap_err();
        assert_eq!(wait.as_secs(), 17);
        let just_before = start + wait - Duration::from_nanos(1);
        assert!(bucket.take(2, &inflow, just_before).is_err());
        assert!(bucket.take(2, &inflow, start + wait).is_ok());
    }

    #[test]
    fn a_debt_is_waited_for() {
        let inflow = Inflow::new(10, Duration::from_secs(10));
        let bucket = Bucket::default();
        bucket.charge(25, &inflow, inflow.start);
        assert_eq!(bucket.level(&inflow, inflow.start).left, -15);
        let wait = bucket.take(1, &inflow, inflow.start).unwrap_err();
        assert_eq!(wait, Duration::from_secs(16));
    }

    #[test]
    fn a_count_never_exceeds_its_most() {
        let count = Count::default();
        assert_eq!(
            (count.enter(2), count.enter(2), count.enter(2)),
            (Some(1), Some(0), None)
        );
        count.leave();
        assert_eq!(count.enter(2), Some(0));
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..40_u64).prop_map(Step::Take),
            (0..40_u64).prop_map(Step::Charge),
            (0..40_u64).prop_map(Step::GiveBack),
            (0..40_u64).prop_map(Step::Flow),
        ];
        prop::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn it_is_a_bucket(capacity in 1..50_u64, steps in steps()) {
            let inflow = inflow(capacity);
            let bucket = Bucket::default();
            let mut now = inflow.start;
            let mut naive = Naive { capacity: capacity as i64, level: capacity as i64 };
            for next in steps {
                // Nothing is given back that was not taken.
                if let Step::GiveBack(amount) = next {
                    bucket.charge(amount, &inflow, now);
                    naive.step(Step::Charge(amount));
                }
                prop_assert_eq!(step(&bucket, &inflow, &mut now, next), naive.step(next));
                prop_assert_eq!(bucket.level(&inflow, now).left, naive.level);
            }
        }

        #[test]
        fn any_limit_fills_in_its_period(amount in 1..=u64::from(u32::MAX), days in 0..40_000_u64) {
            let inflow = Inflow::new(amount, Duration::from_secs(1));
            let bucket = Bucket::default();
            let now = inflow.start + Duration::from_secs(days * 86_400);
            prop_assert!(bucket.take(amount, &inflow, now).is_ok());
            let wait = bucket.take(amount, &inflow, now).unwrap_err();
            prop_assert!(wait <= Duration::from_secs(1) && wait > Duration::from_millis(0));
            prop_assert!(bucket.take(amount, &inflow, now + Duration::from_secs(1)).is_ok());
        }
    }
}
