//! Consistent hashing with bounded loads.

use std::{
    cell::OnceCell,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{ring::Ring, scene::Scene, shares::Shares};
use crate::{
    config::Spill,
    model::NeededKeys,
    server::key::{Caller, Keys},
};

/// The number of points of the ring tried before all endpoints are considered.
const WALK: usize = 256;

/// Maps a key to an endpoint: the first on the ring with room. An endpoint has room while
/// its load is below the floor, or below 1.25 times its share of the total, which includes the
/// new request.
///
/// After Mirrokni, Thorup and Zadimoghaddam, Consistent Hashing with Bounded
/// Loads (2016), with c = 1.25. The shares are those among the usable endpoints:
/// otherwise, with many endpoints down, the others would never have room. The
/// set of usable endpoints is not always current: it is refreshed each time a
/// key finds no room, and now and then while some endpoints are unusable.
#[derive(Debug)]
pub(super) struct Affinity {
    keys: Keys,
    spill: Spill,
    ring: Ring,
    /// The weight of the endpoints that were usable when they were last looked at.
    usable_weight: AtomicU64,
}

impl Affinity {
    /// `endpoints` are their URIs and weights, the same as in `shares`.
    pub(super) fn new(
        keys: Keys,
        spill: Spill,
        endpoints: &[(&str, u32)],
        shares: &Shares,
    ) -> Self {
        Self {
            keys,
            spill,
            ring: Ring::new(endpoints),
            usable_weight: AtomicU64::new(shares.total()),
        }
    }

    pub(super) fn needed_keys(&self) -> NeededKeys {
        self.keys.needed()
    }

    pub(super) fn key(&self, caller: Caller<'_>) -> Option<u64> {
        self.keys.find(caller)
    }

    /// Whether the load is tokens.
    pub(super) fn weighs_tokens(&self) -> bool {
        matches!(self.spill, Spill::AboveTokens(_))
    }

    /// Whether the requests in flight to all endpoints must be counted.
    pub(super) fn wants_total(&self) -> bool {
        matches!(self.spill, Spill::AboveRequests(_))
    }

    /// The endpoint for a key.
    pub(super) fn pick(
        &self,
        key: u64,
        shares: &Shares,
        scene: &Scene<'_>,
        usable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let requests = |i| scene.load(i) as u64;
        let tokens = |i| scene.tokens(i);
        match self.spill {
            Spill::Never => self.home(key, shares, usable),
            Spill::AboveRequests(floor) => {
                let total = || (scene.total)() as u64;
                self.bounded(key, shares, (floor.into(), &requests, &total), usable)
            }
            Spill::AboveTokens(floor) => {
                let total = || (0..shares.len()).map(tokens).sum();
                self.bounded(key, shares, (floor, &tokens, &total), usable)
            }
        }
    }

    /// The position, from 1, at which the key meets the endpoint on the ring.
    pub(super) fn place(&self, key: u64, endpoint: usize) -> usize {
        let mut met = std::collections::HashSet::new();
        let mut walk = self.ring.from(key).filter(|owner| met.insert(*owner));
        walk.position(|owner| owner == endpoint)
            .map_or(0, |place| place + 1)
    }

    /// The first on the ring that is usable.
    fn home(&self, key: u64, shares: &Shares, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let mut walk = self.ring.from(key).take(WALK);
        let home = walk.find(|&endpoint| usable(endpoint));
        home.or_else(|| Some(self.survey(shares, |_| 0, usable)?.least_loaded))
    }

    fn bounded(
        &self,
        key: u64,
        shares: &Shares,
        (floor, load, total): Bound<'_>,
        usable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let mut weight = self.usable_weight.load(Ordering::Relaxed);
        // Some were not usable: check again. This costs as much as one more look each time.
        if weight < shares.total() && fastrand::usize(..shares.len()) == 0 {
            weight = self.survey(shares, load, &usable)?.weight;
        }
        let all = OnceCell::new();
        let has_room = |endpoint: usize, weight: u64| {
            let load = load(endpoint);
            if load < floor {
                return true;
            }
            // load < 1.25 * (total + 1) * share, without a division.
            let total = u128::from(*all.get_or_init(total));
            let bound = 5 * (total + 1) * u128::from(shares.weight(endpoint));
            4 * u128::from(load) * u128::from(weight) < bound
        };
        let walk = |weight: u64| {
            let mut walk = self.ring.from(key).take(WALK);
            walk.find(|&endpoint| has_room(endpoint, weight) && usable(endpoint))
        };
        walk(weight).or_else(|| {
            let all = self.survey(shares, load, &usable)?;
            let fewer = (all.weight < weight).then(|| walk(all.weight)).flatten();
            fewer.or(Some(all.least_loaded))
        })
    }

    /// Looks at every endpoint; `None` if none is usable.
    fn survey(
        &self,
        shares: &Shares,
        load: impl Fn(usize) -> u64,
        usable: impl Fn(usize) -> bool,
    ) -> Option<Survey> {
        let mut weight = 0;
        let least_loaded = (0..shares.len())
            .filter(|&endpoint| usable(endpoint))
            .map(|endpoint| {
                let share = shares.weight(endpoint);
                weight += share;
                (endpoint, load(endpoint) as f64 / share as f64)
            })
            .min_by(|(_, a), (_, b)| a.total_cmp(b))?
            .0;
        self.usable_weight.store(weight, Ordering::Relaxed);
        Some(Survey {
            weight,
            least_loaded,
        })
    }
}

/// Below which load an endpoint has room in any case, the load of each, and that of all.
type Bound<'a> = (u64, &'a dyn Fn(usize) -> u64, &'a dyn Fn() -> u64);

struct Survey {
    /// The total weight of all usable endpoints.
    weight: u64,
    least_loaded: usize,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::hash;

    /// ModelServer and endpoints without sockets: what is in flight, what is down.
    struct Model {
        affinity: Affinity,
        shares: Shares,
        loads: Vec<usize>,
        is_up: Vec<bool>,
        floor: u64,
    }

    impl Model {
        fn new(weights: &[u32]) -> Self {
            let uris: Vec<String> = (0..weights.len()).map(|i| format!("http://h{i}")).collect();
            let endpoints: Vec<_> = uris
                .iter()
                .zip(weights)
                .map(|(uri, weight)| (&**uri, *weight))
                .collect();
            let shares = Shares::new(weights.iter().copied());
            Self {
                affinity: Affinity::new(Keys::new(&[]), Spill::default(), &endpoints, &shares),
                shares,
                loads: vec![0; weights.len()],
                is_up: vec![true; weights.len()],
                floor: 0,
            }
        }

        fn pick(&self, key: u64) -> Option<usize> {
            let load = |i: usize| self.loads[i] as u64;
            let total = || self.loads.iter().sum::<usize>() as u64;
            let bound: Bound<'_> = (self.floor, &load, &total);
            self.affinity
                .bounded(key, &self.shares, bound, |i: usize| self.is_up[i])
        }

        /// Sends a request that stays in flight.
        fn send(&mut self, key: u64) -> Option<usize> {
            let endpoint = self.pick(key)?;
            self.loads[endpoint] += 1;
            Some(endpoint)
        }

        /// A quarter above the share among those that are up, rounded up.
        fn bound(&self, endpoint: usize) -> usize {
            let weight: u64 = (0..self.loads.len())
                .filter(|&i| self.is_up[i])
                .map(|i| self.shares.weight(i))
                .sum();
            let total: usize = self.loads.iter().sum();
            (5 * total * self.shares.weight(endpoint) as usize).div_ceil(4 * weight as usize)
        }
    }

    fn keys(n: u64) -> impl Iterator<Item = u64> {
        (0..n).map(|key| hash(7, &key.to_le_bytes()))
    }

    #[test]
    fn a_key_stays_where_it_is() {
        let model = Model::new(&[1; 20]);
        for key in keys(100) {
            assert_eq!(model.pick(key), model.pick(key));
            assert_eq!(model.pick(key), model.affinity.ring.from(key).next());
        }
    }

    #[test]
    fn a_hot_key_spills_over_to_its_next_endpoints() {
        let mut model = Model::new(&[1; 10]);
        let key = keys(1).next().unwrap();
        let sent: Vec<_> = (0..1000).filter_map(|_| model.send(key)).collect();
        let mut order = Vec::new();
        for endpoint in model.affinity.ring.from(key) {
            if !order.contains(&endpoint) {
                order.push(endpoint);
            }
        }
        assert_eq!(sent[0], order[0]);
        // 1000 requests of one key fill eight of ten, in the ring's order.
        assert!(
            order[..8].iter().all(|&i| model.loads[i] == 125),
            "{:?}",
            model.loads
        );
    }

    /// At 4 keys over 4 idle endpoints, some of which have the same home.
    #[test]
    fn below_the_floor_no_key_moves() {
        for floor in [0, 16] {
            let mut model = Model::new(&[1; 4]);
            model.floor = floor;
            let moved = keys(4).filter(|&key| {
                let homes: Vec<_> = (0..4).filter_map(|_| model.send(key)).collect();
                homes
                    .iter()
                    .any(|&at| Some(at) != model.affinity.ring.from(key).next())
            });
            assert_eq!(moved.count() == 0, floor == 16, "{floor}");
        }
    }

    #[test]
    fn above_the_floor_keys_spill_over() {
        let mut model = Model::new(&[1; 4]);
        model.floor = 16;
        let key = keys(1).next().unwrap();
        let sent: Vec<_> = (0..200).filter_map(|_| model.send(key)).collect();
        assert!(sent[..16].iter().all(|&at| at == sent[0]));
        // A quarter above the average, in the end.
        assert!(
            model.loads.iter().all(|&load| load <= 63),
            "{:?}",
            model.loads
        );
    }

    #[test]
    fn those_that_are_down_leave_the_affinity_of_the_others() {
        let mut model = Model::new(&[1; 10]);
        (0..5).for_each(|i| model.is_up[i] = false);
        let all: Vec<u64> = keys(200).collect();
        // Each key twice: at this load none is full, if those that are down are not counted.
        let mut moved = 0;
        for key in &all {
            let first = model.send(*key);
            let second = model.send(*key);
            moved += usize::from(first != second);
        }
        assert!(moved < all.len() / 4, "{moved}");
        model.is_up.fill(true);
        // They are noticed to be back after a while.
        let back = keys(10_000)
            .filter_map(|key| model.pick(key))
            .filter(|&i| i < 5);
        assert!(back.count() > 1000);
        assert_eq!(model.affinity.usable_weight.load(Ordering::Relaxed), 10);
    }

    proptest! {
        #[test]
        fn none_gets_more_than_a_quarter_above_its_share(
            weights in prop::collection::vec(1..10_u32, 2..30),
            requests in prop::collection::vec(0..5_u64, 1..300),
        ) {
            let mut model = Model::new(&weights);
            for request in requests {
                let endpoint = model.send(hash(1, &request.to_le_bytes())).unwrap();
                prop_assert!(model.loads[endpoint] <= model.bound(endpoint));
            }
        }

        #[test]
        fn the_same_holds_among_those_that_are_up(
            weights in prop::collection::vec(1..10_u32, 2..30),
            up in prop::collection::vec(any::<bool>(), 30),
            requests in prop::collection::vec(0..5_u64, 1..300),
        ) {
            let mut model = Model::new(&weights);
            model.is_up = up[..weights.len()].to_vec();
            let is_any = model.is_up.contains(&true);
            for request in requests {
                let endpoint = model.send(hash(1, &request.to_le_bytes()));
                prop_assert_eq!(endpoint.is_some(), is_any);
                if let Some(endpoint) = endpoint {
                    prop_assert!(model.is_up[endpoint]);
                    prop_assert!(model.loads[endpoint] <= model.bound(endpoint));
                }
            }
        }
    }
}
