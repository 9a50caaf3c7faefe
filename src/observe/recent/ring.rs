//! The last minute of something, in slots of ten seconds.

use std::{array, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;

/// How long a slot is.
const SLOT: u64 = 10;
/// The last minute and the slot that is being filled.
const SLOTS: u64 = 7;

/// The number of a slot, by the time since the first one began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(u64);

impl Slot {
    pub(super) fn at(time: Duration) -> Self {
        Self(time.as_secs() / SLOT)
    }

    /// How long the slots together are that a [`Ring`] still has at this time: up to 70 s, and a
    /// second at least, of which a rate can be made.
    pub(super) fn covered(time: Duration) -> Duration {
        let Self(now) = Self::at(time);
        let begin = Duration::from_secs(now.saturating_sub(SLOTS - 1) * SLOT);
        time.saturating_sub(begin).max(Duration::from_secs(1))
    }
}

/// What was counted, by slot. One in which nothing happens takes no memory.
#[derive(Debug)]
pub(super) struct Ring<T>([ArcSwapOption<Filled<T>>; SLOTS as usize]);

#[derive(Debug)]
struct Filled<T> {
    slot: Slot,
    content: T,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self(array::from_fn(|_| ArcSwapOption::empty()))
    }
}

impl<T: Default> Ring<T> {
    /// Shows `then` what was counted in this slot. A slot is replaced as a whole, so that nobody
    /// counts in one that is being emptied.
    pub(super) fn count(&self, slot: Slot, then: impl FnOnce(&T)) {
        let Some(place) = self.0.get((slot.0 % SLOTS) as usize) else {
            return;
        };
        loop {
            let known = place.load();
            match &*known {
                Some(filled) if filled.slot == slot => return then(&filled.content),
                // Who has slept for a minute is too late.
                Some(filled) if filled.slot > slot => return,
                _ => {}
            }
            let content = T::default();
            place.compare_and_swap(&known, Some(Arc::new(Filled { slot, content })));
        }
    }

    /// Shows `then` what was counted in each slot of the last minute.
    pub(super) fn each(&self, now: Slot, mut then: impl FnMut(&T)) {
        for place in &self.0 {
            if let Some(filled) = &*place.load()
                && filled.slot.0 + SLOTS > now.0
            {
                then(&filled.content);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        thread,
    };

    use super::*;

    fn sum(ring: &Ring<AtomicU64>, now: u64) -> u64 {
        let mut sum = 0;
        ring.each(Slot(now), |count| sum += count.load(Ordering::Relaxed));
        sum
    }

    #[test]
    fn a_minute_is_kept() {
        let ring = Ring::<AtomicU64>::default();
        for slot in 0..20 {
            ring.count(Slot(slot), |count| {
                _ = count.fetch_add(1, Ordering::Relaxed)
            });
            assert_eq!(sum(&ring, slot), SLOTS.min(slot + 1));
        }
        assert_eq!(sum(&ring, 22), SLOTS - 3);
        assert_eq!(sum(&ring, 100), 0);
    }

    #[test]
    fn rates_go_by_the_time_that_is_covered() {
        let covered = |seconds| Slot::covered(Duration::from_secs_f64(seconds)).as_secs_f64();
        assert_eq!(covered(0.1), 1.0);
        assert_eq!(covered(59.0), 59.0);
        assert_eq!(covered(69.0), 69.0);
        assert_eq!(covered(70.0), 60.0);
        assert_eq!(covered(1005.0), 65.0);
    }

    #[test]
    fn nothing_is_lost_when_all_come_to_a_new_slot_at_once() {
        const EACH: u64 = 20_000;
        let ring = Ring::<AtomicU64>::default();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for turn in 0..EACH {
                        let slot = Slot(turn * SLOTS / EACH);
                        ring.count(slot, |count| _ = count.fetch_add(1, Ordering::Relaxed));
                    }
                });
            }
        });
        assert_eq!(sum(&ring, SLOTS - 1), 4 * EACH);
    }
}
