//! Draws in proportion to weights: in turn, and at random.
//!
//! It is our own, because a draw is one atomic step without a lock (rand's `WeightedIndex` draws at
//! random only).

use std::sync::atomic::{AtomicU64, Ordering};

/// How many draws may hit unusable endpoints before all endpoints are looked at.
const DRAWS: usize = 32;
/// The number of draws for a second endpoint.
const SECOND_DRAWS: usize = 4;
/// Up to this many endpoints, all are looked at; of more, only some.
pub(super) const FEW: usize = 8;

/// The weights of the endpoints as shares of a line, divided by their greatest
/// common divisor: a point on it belongs to an endpoint.
#[derive(Debug)]
pub(super) struct Shares {
    /// The end of each share; empty if all have the length 1.
    ends: Box<[u64]>,
    len: usize,
    total: u64,
    /// From each turn's point to the next; coprime to the total.
    step: u64,
    turn: AtomicU64,
}

impl Shares {
    pub(super) fn new(weights: impl ExactSizeIterator<Item = u32> + Clone) -> Self {
        let len = weights.len();
        let divisor = weights.clone().fold(0, gcd).max(1);
        let ends: Box<[u64]> = weights
            .scan(0, |end, weight| {
                *end += u64::from((weight / divisor).max(1));
                Some(*end)
            })
            .collect();
        let total = ends.last().copied().unwrap_or(0);
        let is_equal = total == len as u64;
        Self {
            ends: if is_equal { Box::default() } else { ends },
            len,
            total,
            step: if is_equal { 1 } else { step(total) },
            turn: AtomicU64::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The sum of all weights.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn weight(&self, position: usize) -> u64 {
        let (start, end) = self.share(position);
        end - start
    }

    /// The usable endpoint whose turn it is: in any `total` consecutive turns each
    /// endpoint has as many turns as its weight, evenly spread.
    ///
    /// The turns of unusable endpoints are passed over, so that their siblings
    /// keep their ratio.
    pub(super) fn in_turn(&self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        self.draw(|| self.next(), usable)
    }

    /// A usable endpoint at random.
    pub(super) fn at_random(&self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        self.draw(|| self.owner(fastrand::u64(..self.total)), usable)
    }

    /// A usable endpoint other than `first`, at random; among many it may be missed (`None`).
    pub(super) fn at_random_except(
        &self,
        first: usize,
        usable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let (start, end) = self.share(first);
        let others = self.total - (end - start);
        if others == 0 {
            return None;
        }
        let mut draws = (0..SECOND_DRAWS).map(|_| {
            let point = fastrand::u64(..others);
            self.owner(if point < start {
                point
            } else {
                point + (end - start)
            })
        });
        draws.find(|&other| usable(other)).or_else(|| {
            (self.len <= FEW)
                .then(|| self.sample(|other| other != first && usable(other)))
                .flatten()
        })
    }

    fn draw(&self, next: impl Fn() -> usize, usable: impl Fn(usize) -> bool) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        (0..DRAWS)
            .map(|_| next())
            .find(|&drawn| usable(drawn))
            .or_else(|| self.sample(usable))
    }

    /// One of all usable endpoints, at random (reservoir sampling).
    fn sample(&self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let (mut chosen, mut seen) = (None, 0);
        for position in (0..self.len).filter(|&position| usable(position)) {
            let weight = self.weight(position);
            seen += weight;
            if fastrand::u64(..seen) < weight {
                chosen = Some(position);
            }
        }
        chosen
    }

    /// Steps of one size visit every point of the line once before any twice.
    fn next(&self) -> usize {
        // The count wraps after 2^64 turns.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.total;
        if self.ends.is_empty() {
            return turn as usize;
        }
        self.owner(match turn.checked_mul(self.step) {
            Some(point) => point % self.total,
            None => (u128::from(turn) * u128::from(self.step) % u128::from(self.total)) as u64,
        })
    }

    fn owner(&self, point: u64) -> usize {
        if self.ends.is_empty() {
            point as usize
        } else {
            self.ends.partition_point(|&end| end <= point)
        }
    }

    /// From where to where the share of `position` reaches.
    fn share(&self, position: usize) -> (u64, u64) {
        let end = |position| match self.ends.get(position) {
            Some(&end) => end,
            None => position as u64 + 1,
        };
        (position.checked_sub(1).map_or(0, end), end(position))
    }
}

/// A number coprime to `total`, near its golden section, whose multiples are
/// spread evenly: the smaller the quotients of its continued fraction, the more so.
fn step(total: u64) -> u64 {
    // 0.618... in units of 2^-64.
    const GOLDEN: u128 = 0x9e37_79b9_7f4a_7c15;
    const CANDIDATES: u64 = 64;
    let section = ((u128::from(total) * GOLDEN) >> 64) as u64;
    let section = section.max(1);
    (section..total.min(section.saturating_add(CANDIDATES)))
        .filter_map(|step| Some((largest_quotient(total, step)?, step)))
        .min()
        .map_or(1, |(_, step)| step)
}

/// Of the continued fraction of `a / b`; `None` if they have a common divisor.
fn largest_quotient(mut a: u64, mut b: u64) -> Option<u64> {
    let mut largest = 0;
    while b > 0 {
        largest = largest.max(a / b);
        (a, b) = (b, a % b);
    }
    (a == 1).then_some(largest)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(weights: &[u32]) -> Shares {
        Shares::new(weights.iter().copied())
    }

    fn weights() -> impl Strategy<Value = Vec<u32>> {
        prop::collection::vec(1..=100_u32, 1..8)
    }

    fn counts(n: usize, draws: usize, draw: impl Fn() -> usize) -> Vec<usize> {
        let mut counts = vec![0; n];
        (0..draws).for_each(|_| counts[draw()] += 1);
        counts
    }

    /// Within seven standard deviations of the share: a false alarm once in 10^11 runs.
    #[track_caller]
    fn assert_share(count: usize, draws: usize, share: f64) {
        let expected = draws as f64 * share;
        let deviation = (expected * (1.0 - share)).sqrt();
        assert!(
            (count as f64 - expected).abs() <= 7.0 * deviation + 1.0,
            "{count} of {draws}, expected {expected}"
        );
    }

    #[test]
    fn equal_ones_come_one_after_the_other() {
        let shares = shares(&[7, 7, 7]);
        let picks: Vec<_> = (0..6).map(|_| shares.in_turn(|_| true)).collect();
        assert_eq!(picks, [0, 1, 2, 0, 1, 2].map(Some));
    }

    #[test]
    fn a_heavy_one_is_spread_among_the_light_ones() {
        let shares = shares(&[5, 1, 1]);
        let picks: Vec<_> = (0..700).filter_map(|_| shares.in_turn(|_| true)).collect();
        assert!(
            picks
                .windows(5)
                .all(|run| run.iter().any(|&pick| pick != 0))
        );
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let shares = Shares::new((0..1000).map(|i| u32::MAX - i));
        for _ in 0..1000 {
            assert!(shares.in_turn(|_| true).is_some_and(|pick| pick < 1000));
            assert!(shares.at_random(|_| true).is_some_and(|pick| pick < 1000));
            assert!(
                shares
                    .at_random_except(999, |_| true)
                    .is_some_and(|pick| pick < 999)
            );
        }
    }

    #[test]
    fn exact_over_several_threads() {
        let shares = shares(&[3, 2]);
        let picks = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| counts(2, 10_000, || shares.in_turn(|_| true).unwrap())))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap()[0])
                .sum::<usize>()
        });
        assert_eq!(picks, 24_000);
    }

    proptest! {
        #[test]
        fn turns_are_exact_in_every_cycle(weights in weights(), skip in 0..500_usize) {
            let shares = shares(&weights);
            (0..skip).for_each(|_| { shares.in_turn(|_| true); });
            let cycle = shares.total() as usize;
            let counts = counts(weights.len(), cycle, || shares.in_turn(|_| true).unwrap());
            for (position, count) in counts.into_iter().enumerate() {
                prop_assert_eq!(count as u64, shares.weight(position));
            }
        }

        #[test]
        fn turns_are_even_in_every_run(weights in weights()) {
            let shares = shares(&weights);
            let picks: Vec<_> = (0..1000).map(|_| shares.in_turn(|_| true).unwrap()).collect();
            for position in 0..weights.len() {
                let share = shares.weight(position) as f64 / shares.total() as f64;
                let (mut ahead, mut least, mut most) = (0.0_f64, 0.0_f64, 0.0_f64);
                for &pick in &picks {
                    ahead += f64::from(u8::from(pick == position)) - share;
                    (least, most) = (least.min(ahead), most.max(ahead));
                }
                prop_assert!(most - least < 5.0, "{} from {} to {}", position, least, most);
            }
        }

        #[test]
        fn siblings_share_the_turns_of_one_that_is_down(weights in weights(), down in 0..8_usize) {
            // A run of turns of the one that is down must not exceed the draws.
            prop_assume!(weights.len() > 1);
            let shares = shares(&weights);
            let down = down % weights.len();
            prop_assume!(shares.weight(down) * 4 < shares.total() * 3);
            let cycle = (shares.total() - shares.weight(down)) as usize;
            let counts = counts(weights.len(), cycle, || shares.in_turn(|i| i != down).unwrap());
            for (position, count) in counts.into_iter().enumerate() {
                let expected = if position == down { 0 } else { shares.weight(position) };
                prop_assert_eq!(count as u64, expected);
            }
        }

        #[test]
        fn whoever_is_usable_is_found(weights in prop::collection::vec(1..=u32::MAX, 0..60), up in prop::collection::vec(any::<bool>(), 60)) {
            let shares = shares(&weights);
            let usable = |position: usize| up[position];
            let is_any = (0..weights.len()).any(usable);
            for found in [shares.in_turn(usable), shares.at_random(usable)] {
                prop_assert_eq!(found.is_some(), is_any);
                prop_assert!(found.is_none_or(usable));
            }
        }

        #[test]
        fn a_second_one_is_another_and_found_among_few(weights in prop::collection::vec(1..=50_u32, 1..=FEW), up in any::<u8>(), first in 0..FEW) {
            let shares = shares(&weights);
            let first = first % weights.len();
            let usable = |position: usize| up & (1 << position) != 0;
            let found = shares.at_random_except(first, usable);
            prop_assert_eq!(found.is_some(), (0..weights.len()).any(|i| i != first && usable(i)));
            prop_assert!(found.is_none_or(|i| i != first && usable(i)));
        }
    }

    #[test]
    fn random_draws_follow_the_weights() {
        const DRAWS: usize = 100_000;
        let weights = [1, 2, 3, 10];
        let shares = shares(&weights);
        let all = counts(4, DRAWS, || shares.at_random(|_| true).unwrap());
        let second = counts(4, DRAWS, || shares.at_random_except(1, |_| true).unwrap());
        let sampled = counts(4, DRAWS, || shares.sample(|i| i != 1).unwrap());
        for (i, weight) in weights.into_iter().enumerate() {
            let weight = f64::from(weight);
            assert_share(all[i], DRAWS, weight / 16.0);
            let of_others = if i == 1 { 0.0 } else { weight / 14.0 };
            assert_share(second[i], DRAWS, of_others);
            assert_share(sampled[i], DRAWS, of_others);
        }
    }
}
