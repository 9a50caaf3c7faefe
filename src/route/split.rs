//! The weighted split: exact, lock-free, and the same under any concurrency.
//!
//! The weights become a cyclic schedule, one slot a request, and an atomic
//! cursor hands the slots out. Exactness is therefore a property of the
//! schedule alone: over a run of `n` consecutive picks a target of share `p`
//! gets within one request of `n * p`. In every `sum / gcd` consecutive picks
//! the counts are the weights themselves, wherever the run starts.
//!
//! For two targets, and for most small sets of weights, this holds for every
//! run. For some sets of three and more targets no schedule at all can do that
//! (the balanced words of Fraenkel's conjecture); there it holds for the runs
//! that begin where a cycle begins, and any other run stays within two.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use hashbrown::HashMap;

/// Hands out the positions of a rule's targets in proportion to their weights.
#[derive(Debug)]
pub(crate) struct Split {
    cursor: AtomicU64,
    schedule: Arc<[u32]>,
    targets: u32,
}

/// The schedules of a table: most rules have the weights of another.
#[derive(Debug, Default)]
pub(super) struct Schedules(HashMap<Vec<u32>, Arc<[u32]>>);

impl Schedules {
    /// `weights` are those of the targets, in their order; at least one must not be 0.
    pub(super) fn split(&mut self, weights: &[u32]) -> Split {
        let known = self.0.entry_ref(weights);
        let schedule = known.or_insert_with(|| schedule(weights).into());
        Split {
            cursor: AtomicU64::new(0),
            schedule: Arc::clone(schedule),
            targets: u32::try_from(weights.len()).unwrap_or(u32::MAX),
        }
    }
}

impl Split {
    /// The next target that is usable.
    ///
    /// The slots of unusable targets are passed over, so the rest of the schedule, and
    /// with it the ratio among the siblings, stays exact. Targets of weight 0 have no
    /// slot: they are used only if no other target is usable. `None` if no target is.
    pub(crate) fn pick(&self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let scheduled = || self.schedule.iter().any(|&target| usable(target as usize));
        loop {
            for _ in 0..self.schedule.len() {
                let target = self.next();
                if usable(target) {
                    return Some(target);
                }
            }
            // Other threads may have taken all slots of the usable targets.
            if !scheduled() {
                break;
            }
        }
        (0..self.targets as usize).find(|&target| usable(target))
    }

    /// Whether the two hand out the same positions in the same order.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.schedule == other.schedule && self.targets == other.targets
    }

    pub(crate) fn targets(&self) -> usize {
        self.targets as usize
    }

    fn next(&self) -> usize {
        let turn = self.cursor.fetch_add(1, Ordering::Relaxed);
        // The cursor wraps after 2^64 picks; the length always fits.
        self.schedule[(turn % self.schedule.len() as u64) as usize] as usize
    }
}

/// One cycle: each position as often as its weight says, spread as evenly as possible.
fn schedule(weights: &[u32]) -> Vec<u32> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let shares: Vec<Share> = (0..)
        .zip(weights)
        .filter(|&(_, &weight)| weight > 0)
        .map(|(target, &weight)| Share {
            target,
            weight: u64::from(weight / divisor),
        })
        .collect();
    let cycle = shares.iter().map(|share| share.weight).sum();
    let first_step = if cycle * shares.len() as u64 <= SEARCHED {
        0
    } else {
        STEPS
    };
    // The tightest windows first. The widest always have a schedule, for any
    // weights: the chairman assignment problem (Tijdeman 1980).
    (first_step..=STEPS)
        .flat_map(|step| (0..SHIFTS).map(move |shift| (step, shift)))
        .find_map(|(step, shift)| {
            let span = cycle + cycle * step / STEPS;
            earliest_deadline_first(&shares, cycle, span, |position| {
                phase(cycle, span, shift, position)
            })
        })
        .unwrap_or_default()
}

/// How many window widths are tried between the ideal one and the one that always works.
const STEPS: u64 = 8;
/// How many sets of phases are tried for each width.
const SHIFTS: u64 = 16;
/// Above this size (slots times targets) only the width that always works is tried: the
/// search costs build time, and one slot in a thousand does not matter.
const SEARCHED: u64 = 20_000;

struct Share {
    target: u32,
    weight: u64,
}

/// How far, in units of 1/cycle, target `position` may fall behind its share.
///
/// All phases lie where the count also stays within one of the share from the
/// cycle's start on. The first set is symmetric, the others are spread.
fn phase(cycle: u64, span: u64, shift: u64, position: u64) -> u64 {
    let (low, high) = (span - cycle, cycle);
    match shift {
        0 => span / 2,
        _ => low + (shift * position * (high - low) / SHIFTS) % (high - low + 1),
    }
}

/// The schedule in which every target stays at most `phase` behind and
/// `span - phase` ahead of its share (in units of 1/cycle), if there is one.
///
/// The bounds give each pick of each target a first and a last slot: unit
/// jobs on one machine with release times and deadlines, for which taking the
/// earliest deadline finds a schedule whenever one exists.
fn earliest_deadline_first(
    shares: &[Share],
    cycle: u64,
    span: u64,
    phase: impl Fn(u64) -> u64,
) -> Option<Vec<u32>> {
    let phases: Vec<u64> = (0..).take(shares.len()).map(phase).collect();
    let mut picked = vec![0_u64; shares.len()];
    (1..=cycle)
        .map(|slot| {
            let (deadline, position) = (0..shares.len())
                .filter(|&i| picked[i] < shares[i].weight)
                .filter(|&i| {
                    let ahead = (picked[i] + 1) * cycle + phases[i];
                    ahead <= span + slot * shares[i].weight
                })
                .map(|i| {
                    let behind = picked[i] * cycle + phases[i];
                    (behind / shares[i].weight + 1, i)
                })
                .min()?;
            picked[position] += 1;
            (deadline >= slot).then_some(shares[position].target)
        })
        .collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    fn split(weights: &[u32]) -> Split {
        Schedules::default().split(weights)
    }

    fn weights() -> impl Strategy<Value = Vec<u32>> {
        prop::collection::vec(0..=100_u32, 1..6)
            .prop_filter("not all zero", |weights| weights.iter().any(|&w| w > 0))
    }

    /// The widest distance, over all runs of `picks`, between a target's count and its share.
    fn worst_run(picks: &[usize], weights: &[u32], from_start_only: bool) -> f64 {
        let total = f64::from(weights.iter().sum::<u32>());
        let mut worst = 0_f64;
        for (target, &weight) in weights.iter().enumerate() {
            let share = f64::from(weight) / total;
            let (mut ahead, mut least, mut most) = (0_f64, 0_f64, 0_f64);
            for &pick in picks {
                ahead += f64::from(u8::from(pick == target)) - share;
                (least, most) = (least.min(ahead), most.max(ahead));
                worst = worst.max(ahead.abs());
            }
            if !from_start_only {
                worst = worst.max(most - least);
            }
        }
        worst
    }

    fn picks(split: &Split, n: usize) -> Vec<usize> {
        (0..n).map(|_| split.pick(|_| true).unwrap()).collect()
    }

    const ONE: f64 = 1.0 + 1e-6;

    #[test]
    fn seventy_to_thirty_in_every_hundred() {
        let split = split(&[70, 30]);
        for run in picks(&split, 1000).windows(100) {
            assert_eq!(run.iter().filter(|&&target| target == 0).count(), 70);
        }
    }

    #[test]
    fn common_splits_of_three_stay_within_one_over_any_run() {
        for weights in [
            [50, 30, 20],
            [60, 30, 10],
            [1, 1, 1],
            [98, 1, 1],
            [50, 25, 25],
        ] {
            let split = split(&weights);
            assert!(
                worst_run(&picks(&split, 300), &weights, false) < ONE,
                "{weights:?}"
            );
        }
    }

    #[test]
    fn weight_zero_is_a_last_resort() {
        let split = split(&[0, 1]);
        assert_eq!(split.pick(|_| true), Some(1));
        assert_eq!(split.pick(|target| target == 0), Some(0));
        assert_eq!(split.pick(|_| false), None);
    }

    proptest! {
        #[test]
        fn two_targets_stay_within_one_over_any_run(a in 0..=100_u32, b in 1..=100_u32) {
            let split = split(&[a, b]);
            prop_assert!(worst_run(&picks(&split, 400), &[a, b], false) < ONE);
        }

        #[test]
        fn any_targets_stay_within_one_from_the_start_and_two_anywhere(weights in weights()) {
            let split = split(&weights);
            let picks = picks(&split, 1000);
            prop_assert!(worst_run(&picks, &weights, true) < ONE);
            prop_assert!(worst_run(&picks, &weights, false) < 2.0 + 1e-6);
        }

        #[test]
        fn every_cycle_is_the_weights(weights in weights(), skip in 0..200_usize) {
            let split = split(&weights);
            let cycle = split.schedule.len();
            picks(&split, skip);
            let run = picks(&split, cycle);
            let total: u32 = weights.iter().sum();
            for (target, &weight) in weights.iter().enumerate() {
                let count = run.iter().filter(|&&pick| pick == target).count();
                prop_assert_eq!(count * total as usize, weight as usize * cycle);
            }
        }

        #[test]
        fn siblings_share_what_an_unusable_target_leaves(weights in weights(), down in 0..6_usize) {
            let split = split(&weights);
            let total: u32 = weights.iter().enumerate().filter(|&(i, _)| i != down).map(|(_, w)| w).sum();
            prop_assume!(total > 0);
            let divisor = weights.iter().copied().fold(0, gcd);
            let cycle = (total / divisor) as usize;
            let run: Vec<_> = (0..cycle).map(|_| split.pick(|target| target != down).unwrap()).collect();
            for (target, &weight) in weights.iter().enumerate().filter(|&(i, _)| i != down) {
                let count = run.iter().filter(|&&pick| pick == target).count();
                prop_assert_eq!(count, (weight / divisor) as usize);
            }
        }
    }

    #[test]
    fn exact_under_concurrency() {
        let split = split(&[70, 30]);
        let first = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        if split.pick(|_| true) == Some(0) {
                            first.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(first.into_inner(), 56_000);
    }
}
