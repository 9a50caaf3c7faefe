//! Which endpoint of a ModelServer takes the next request.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    affinity::{Affinity, Caller, Key},
    shares::{FEW, Shares},
};
use crate::{
    config::Balance,
    model::{NeededKeys, hash},
    server::endpoint::Endpoint,
};

/// A [`Balance`], ready for use.
#[derive(Debug)]
pub(crate) struct Balancer {
    shares: Shares,
    strategy: Strategy,
}

#[derive(Debug)]
enum Strategy {
    LeastRequest,
    RoundRobin,
    Random,
    PeakEwma,
    Affinity(Box<Affinity>),
}

impl Balancer {
    /// `endpoints` are their URIs and weights, in their order.
    pub(crate) fn new(balance: &Balance, endpoints: &[(&str, u32)]) -> Self {
        let shares = Shares::new(endpoints.iter().map(|&(_, weight)| weight));
        let affinity = |key| Strategy::Affinity(Affinity::new(key, endpoints, &shares).into());
        let strategy = match balance {
            Balance::LeastRequest => Strategy::LeastRequest,
            Balance::RoundRobin => Strategy::RoundRobin,
            Balance::Random => Strategy::Random,
            Balance::PeakEwma => Strategy::PeakEwma,
            Balance::ConsistentHash(key) => Key::new(key).map_or(Strategy::LeastRequest, affinity),
            Balance::PrefixHash(bytes) => affinity(Key::Prefix(*bytes)),
        };
        Self { shares, strategy }
    }

    fn affinity(&self) -> Option<&Affinity> {
        match &self.strategy {
            Strategy::Affinity(affinity) => Some(affinity),
            _ => None,
        }
    }

    /// The keys in a request's body that the strategy needs.
    pub(crate) fn needed_keys(&self) -> NeededKeys {
        self.affinity()
            .map(Affinity::needed_keys)
            .unwrap_or_default()
    }

    /// Whether the requests in flight to all endpoints together must be known.
    pub(crate) fn wants_total(&self) -> bool {
        self.affinity().is_some()
    }

    /// Whether the endpoints' latencies must be observed.
    pub(crate) fn wants_latency(&self) -> bool {
        matches!(self.strategy, Strategy::PeakEwma)
    }

    /// The key of a request; `None` if the request has no key, or the strategy needs none.
    pub(crate) fn key(&self, caller: Caller<'_>) -> Option<u64> {
        self.affinity()?.key(caller)
    }

    /// The position of an endpoint for which `usable` holds; `None` only if no endpoint is usable.
    ///
    /// `endpoints` are those that the balancer was made for, in the same order, and
    /// `total` is the number of requests in flight to all of them. `usable` may be asked more
    /// than once for an endpoint, and should be cheap.
    ///
    /// If a `slow_start` takes time, an endpoint that is new or back gets only a share of its
    /// turns, and none of an endpoint that is warmer, or a share of its keys; unless no other
    /// endpoint is usable.
    pub(crate) fn pick(
        &self,
        endpoints: &[Arc<Endpoint>],
        total: usize,
        key: Option<u64>,
        slow_start: Duration,
        usable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        if self.shares.len() <= 1 {
            return (self.shares.len() == 1 && usable(0)).then_some(0);
        }
        if slow_start.is_zero() {
            let beside = |_, other| usable(other);
            return self.choose(endpoints, total, key, &usable, beside);
        }
        let share = |i: usize| {
            let endpoint = endpoints.get(i);
            endpoint.map_or(1.0, |endpoint| endpoint.health.share(slow_start))
        };
        // What is drawn anew each time in place of a key, which always has the same.
        let drawn = || key.map_or_else(fastrand::f64, fraction);
        let in_its_turn = |i| usable(i) && (share(i) >= 1.0 || drawn() < share(i));
        let beside = |first, other| usable(other) && share(other) >= share(first);
        let in_turn = self.choose(endpoints, total, key, in_its_turn, beside);
        in_turn.or_else(|| self.choose(endpoints, total, key, &usable, beside))
    }

    /// The first endpoint that is looked at is usable `in_its_turn`; those that may be chosen in
    /// its place are usable `beside` it.
    fn choose(
        &self,
        endpoints: &[Arc<Endpoint>],
        total: usize,
        key: Option<u64>,
        in_its_turn: impl Fn(usize) -> bool,
        beside: impl Fn(usize, usize) -> bool,
    ) -> Option<usize> {
        let load = |i: usize| endpoints.get(i).map_or(0, |endpoint| endpoint.load());
        match (&self.strategy, key) {
            (Strategy::RoundRobin, _) => self.shares.in_turn(in_its_turn),
            (Strategy::Random, _) => self.shares.at_random(in_its_turn),
            (Strategy::PeakEwma, _) => {
                let first = self.shares.in_turn(in_its_turn)?;
                let second = self
                    .shares
                    .at_random_except(first, |other| beside(first, other));
                let now = Instant::now();
                Some(self.cheapest(first, second, |i| {
                    endpoints
                        .get(i)
                        .map_or(0.0, |endpoint| endpoint.latency.cost(endpoint.load(), now))
                }))
            }
            (Strategy::Affinity(affinity), Some(key)) => {
                affinity.pick(key, &self.shares, total, load, in_its_turn)
            }
            (Strategy::LeastRequest | Strategy::Affinity(_), _) => {
                self.least_request(load, in_its_turn, beside)
            }
        }
    }

    /// The endpoint with the fewest requests in flight for its weight: the better of two
    /// (the power of two choices, Mitzenmacher 2001), or of all if they are few.
    fn least_request(
        &self,
        load: impl Fn(usize) -> usize,
        in_its_turn: impl Fn(usize) -> bool,
        beside: impl Fn(usize, usize) -> bool,
    ) -> Option<usize> {
        let first = self.shares.in_turn(in_its_turn)?;
        let cost = |i| load(i) as f64;
        if self.shares.len() > FEW {
            let second = self
                .shares
                .at_random_except(first, |other| beside(first, other));
            return Some(self.cheapest(first, second, cost));
        }
        let (before, after) = (0..first, first + 1..self.shares.len());
        let others = after.chain(before).filter(|&other| beside(first, other));
        Some(self.cheapest(first, others, cost))
    }

    /// The endpoint that costs the least for its weight; the first one wins a tie.
    ///
    /// The first endpoint is the one whose turn it is, so endpoints that are
    /// idle, or equally loaded, take exact turns. Only requests already in
    /// flight are compared. If the new request were counted too, the heaviest
    /// of the idle endpoints would always win.
    fn cheapest(
        &self,
        first: usize,
        others: impl IntoIterator<Item = usize>,
        cost: impl Fn(usize) -> f64,
    ) -> usize {
        let relative = |i| (i, cost(i) / self.shares.weight(i) as f64);
        let least = |least: (usize, f64), other| {
            let other = relative(other);
            if other.1 < least.1 { other } else { least }
        };
        others.into_iter().fold(relative(first), least).0
    }
}

/// A number from 0 to 1 that has nothing to do with where on the ring the key is.
fn fraction(key: u64) -> f64 {
    hash(1, &key.to_le_bytes()) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use proptest::prelude::*;

    use super::*;
    use crate::config::{Address, HashKey};

    struct Server {
        balancer: Balancer,
        endpoints: Vec<Arc<Endpoint>>,
        slow_start: Duration,
    }

    impl Server {
        fn new(balance: Balance, weights: &[u32]) -> Self {
            let uris: Vec<String> = (0..weights.len()).map(|i| format!("http://h{i}")).collect();
            let weighted: Vec<_> = uris
                .iter()
                .map(|uri| &**uri)
                .zip(weights.iter().copied())
                .collect();
            let balancer = Balancer::new(&balance, &weighted);
            let endpoint = |uri: &String| Arc::new(Endpoint::new(Address::parse(uri).unwrap()));
            Self {
                endpoints: uris.iter().map(endpoint).collect(),
                balancer,
                slow_start: Duration::ZERO,
            }
        }

        fn pick_if(&self, usable: impl Fn(usize) -> bool) -> Option<usize> {
            self.pick_for(Some(1), usable)
        }

        fn pick_for(&self, key: Option<u64>, usable: impl Fn(usize) -> bool) -> Option<usize> {
            let total = self.endpoints.iter().map(|e| e.in_flight()).sum();
            self.balancer
                .pick(&self.endpoints, total, key, self.slow_start, usable)
        }

        fn pick(&self) -> usize {
            self.pick_if(|_| true).unwrap()
        }

        fn hold(&self, endpoint: usize) -> Held {
            let endpoint = &self.endpoints[endpoint];
            assert!(endpoint.begin(None));
            Held(Arc::clone(endpoint))
        }

        fn load(&self, endpoint: usize, requests: usize) -> Vec<Held> {
            (0..requests).map(|_| self.hold(endpoint)).collect()
        }
    }

    struct Held(Arc<Endpoint>);

    impl Drop for Held {
        fn drop(&mut self) {
            self.0.end();
        }
    }

    fn every_balance() -> Vec<Balance> {
        vec![
            Balance::LeastRequest,
            Balance::RoundRobin,
            Balance::Random,
            Balance::PeakEwma,
            Balance::ConsistentHash(HashKey::User),
            Balance::PrefixHash(100),
        ]
    }

    const SLOW_START: Duration = Duration::from_secs(100);

    proptest! {
        #[test]
        fn whichever_is_usable_is_found(
            weights in prop::collection::vec(1..4_u32, 0..40),
            up in prop::collection::vec(any::<bool>(), 40),
            new in prop::collection::vec(any::<bool>(), 40),
            loads in prop::collection::vec(0..4_usize, 40),
            is_slow in any::<bool>(),
        ) {
            for balance in every_balance() {
                let mut server = Server::new(balance.clone(), &weights);
                server.slow_start = if is_slow { SLOW_START } else { Duration::ZERO };
                server.endpoints.iter().zip(&new).filter(|(_, new)| **new).for_each(|(e, _)| e.health.is_new());
                let _held: Vec<_> = (0..weights.len()).map(|i| server.load(i, loads[i])).collect();
                for key in [None, Some(1)] {
                    let picked = server.pick_for(key, |i| up[i]);
                    prop_assert_eq!(picked.is_some(), up[..weights.len()].contains(&true), "{:?}", balance);
                    prop_assert!(picked.is_none_or(|i| up[i]));
                }
            }
        }

        #[test]
        fn idle_endpoints_take_exact_turns(weights in prop::collection::vec(1..20_u32, 1..8)) {
            for (balance, slow_start) in [
                (Balance::LeastRequest, Duration::ZERO),
                (Balance::RoundRobin, Duration::ZERO),
                (Balance::LeastRequest, SLOW_START),
                (Balance::RoundRobin, SLOW_START),
            ] {
                let mut server = Server::new(balance, &weights);
                server.slow_start = slow_start;
                let mut counts = vec![0; weights.len()];
                (0..weights.iter().sum()).for_each(|_| counts[server.pick()] += 1);
                prop_assert_eq!(&counts, &weights);
            }
        }

        #[test]
        fn of_few_the_least_loaded_is_taken(endpoints in prop::collection::vec((1..10_u32, 0..20_usize), 2..=FEW)) {
            let weights: Vec<u32> = endpoints.iter().map(|endpoint| endpoint.0).collect();
            let server = Server::new(Balance::LeastRequest, &weights);
            let _held: Vec<_> = (0..).zip(&endpoints).map(|(i, endpoint)| server.load(i, endpoint.1)).collect();
            let relative: Vec<_> = endpoints.iter().map(|&(weight, load)| load as f64 / f64::from(weight)).collect();
            for _ in 0..10 {
                let picked = server.pick();
                prop_assert!(relative.iter().all(|&other| relative[picked] <= other));
            }
        }
    }

    /// What endpoint 0, which is new, gets of 80,000 requests: part of what its weight is worth
    /// among the full weights of the others.
    async fn part_of_new(balance: Balance, weights: &[u32], after: Duration, loaded: usize) -> f64 {
        let mut server = Server::new(balance, weights);
        server.slow_start = SLOW_START;
        server.endpoints[0].health.is_new();
        let _held: Vec<_> = (1..weights.len()).map(|i| server.load(i, loaded)).collect();
        tokio::time::advance(after).await;
        let picks = (0..80_000).map(|_| server.pick_for(None, |_| true));
        let own = picks.filter(|&picked| picked == Some(0)).count() as f64;
        let others: u32 = weights.iter().skip(1).sum();
        own / (80_000.0 - own) * f64::from(others) / f64::from(weights[0])
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_endpoint_gets_its_part_and_no_more_for_being_idle() {
        let many = [1; 12];
        for weights in [&[2, 1, 1][..], &[1, 3], &many] {
            for (seconds, expected) in [(0, 0.1), (50, 0.55), (75, 0.775)] {
                let after = Duration::from_secs(seconds);
                for (balance, loaded) in [
                    (Balance::RoundRobin, 9),
                    (Balance::Random, 9),
                    (Balance::LeastRequest, 0),
                    (Balance::LeastRequest, 9),
                    (Balance::PeakEwma, 9),
                ] {
                    let part = part_of_new(balance.clone(), weights, after, loaded).await;
                    let error = (part / expected - 1.0).abs();
                    assert!(
                        error < 0.2,
                        "{balance:?} {weights:?} {loaded}: {part}, {expected}"
                    );
                }
            }
        }
    }

    /// Keys come over, each once, and none moves between the others.
    #[tokio::test(start_paused = true)]
    async fn a_new_endpoint_takes_its_keys_over_one_by_one() {
        let mut server = Server::new(Balance::ConsistentHash(HashKey::User), &[1; 4]);
        let keys: Vec<_> = (0..4000_u64)
            .map(|key| hash(0, &key.to_le_bytes()))
            .collect();
        let homes = |server: &Server| -> Vec<_> {
            let home = |&key| server.pick_for(Some(key), |_| true).unwrap();
            keys.iter().map(home).collect()
        };
        let at_last = homes(&server);
        let all = at_last.iter().filter(|home| **home == 0).count() as f64;
        server.slow_start = SLOW_START;
        server.endpoints[0].health.is_new();
        let mut before = homes(&server);
        for seconds in (0..=100).step_by(10) {
            let now = homes(&server);
            for ((before, now), last) in before.iter().zip(&now).zip(&at_last) {
                assert!(now == before || (*now == 0 && now == last));
            }
            let own = now.iter().filter(|home| **home == 0).count() as f64;
            let expected = 0.1 + 0.9 * f64::from(seconds) / 100.0;
            assert!(
                (own / all - expected).abs() < 0.08,
                "{own} of {all}, {expected}"
            );
            before = now;
            tokio::time::advance(SLOW_START / 10).await;
        }
        assert_eq!(before, at_last);
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_came_together_are_compared_by_load() {
        let mut server = Server::new(Balance::LeastRequest, &[1; 3]);
        server.slow_start = SLOW_START;
        server
            .endpoints
            .iter()
            .for_each(|endpoint| endpoint.health.is_new());
        let _held = server.load(1, 5);
        assert!((0..100).all(|_| server.pick_for(None, |_| true) != Some(1)));
    }

    #[test]
    fn the_most_loaded_of_many_gets_nothing() {
        let server = Server::new(Balance::LeastRequest, &[1; 100]);
        let _held = server.load(42, 1);
        assert!((0..10_000).all(|_| server.pick() != 42));
    }

    #[test]
    fn requests_that_stay_are_spread_by_weight() {
        let weights = [1, 2, 3, 4];
        let server = Server::new(Balance::LeastRequest, &weights);
        let _held: Vec<_> = (0..1000).map(|_| server.hold(server.pick())).collect();
        for (endpoint, weight) in server.endpoints.iter().zip(weights) {
            let (in_flight, expected) = (endpoint.in_flight() as f64, f64::from(weight) * 100.0);
            assert!(
                (in_flight - expected).abs() < 15.0,
                "{in_flight}, {expected}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn peak_ewma_takes_the_quicker_and_comes_back_to_the_slower() {
        let server = Server::new(Balance::PeakEwma, &[1, 1]);
        let observe = |endpoint: usize, millis| {
            let latency = Duration::from_millis(millis);
            server.endpoints[endpoint]
                .latency
                .observe(latency, Instant::now());
        };
        observe(0, 100);
        observe(1, 2000);
        assert!((0..20).all(|_| server.pick() == 0));
        // Twenty times as quick is worth twenty in flight.
        let held = server.load(0, 30);
        assert_eq!(server.pick(), 1);
        drop(held);
        for _ in 0..8 {
            tokio::time::advance(Duration::from_secs(5)).await;
            observe(0, 100);
        }
        assert_eq!(server.pick(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn peak_ewma_tries_a_new_endpoint_once_at_a_time() {
        let server = Server::new(Balance::PeakEwma, &[1, 1]);
        server.endpoints[0]
            .latency
            .observe(Duration::from_millis(1), Instant::now());
        let _held = server.load(0, 3);
        assert_eq!(server.pick(), 1);
        let _trial = server.load(1, 1);
        assert!((0..20).all(|_| server.pick() == 0));
    }

    #[test]
    fn affinity_without_a_key_goes_by_load() {
        let server = Server::new(Balance::ConsistentHash(HashKey::User), &[1; 2]);
        let _held = server.load(0, 1);
        assert_eq!(server.pick_for(None, |_| true), Some(1));
        let picks: HashSet<_> = (0..10).map(|_| server.pick()).collect();
        assert_eq!(picks.len(), 1);
    }

    #[test]
    fn what_is_in_flight_counts_for_the_bound() {
        let server = Server::new(Balance::PrefixHash(1), &[1; 4]);
        let _held: Vec<_> = (0..100).map(|_| server.hold(server.pick())).collect();
        // All of one key, 31.25 each at most.
        let counts = server.endpoints.iter().map(|endpoint| endpoint.in_flight());
        assert_eq!(counts.max(), Some(32));
    }

    #[test]
    fn only_affinity_by_the_body_reads_it() {
        let wish = |balance| Balancer::new(&balance, &[]).needed_keys();
        for balance in [
            Balance::LeastRequest,
            Balance::PeakEwma,
            Balance::ConsistentHash(HashKey::ClientAddr),
            Balance::ConsistentHash(HashKey::Header("x".into())),
        ] {
            assert!(wish(balance).is_none());
        }
        assert!(wish(Balance::ConsistentHash(HashKey::User)).user);
        assert!(wish(Balance::ConsistentHash(HashKey::SessionId)).session_id);
        assert_eq!(wish(Balance::PrefixHash(7)).prefix, 7);
    }
}
