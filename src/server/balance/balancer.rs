//! Which endpoint of a ModelServer takes the next request.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    affinity::{Affinity, Caller, Key},
    shares::{FEW, Shares},
};
use crate::{config::Balance, model::NeededKeys, server::endpoint::Endpoint};

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
    pub(crate) fn pick(
        &self,
        endpoints: &[Arc<Endpoint>],
        total: usize,
        key: Option<u64>,
        usable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        if self.shares.len() <= 1 {
            return (self.shares.len() == 1 && usable(0)).then_some(0);
        }
        let load = |i: usize| endpoints.get(i).map_or(0, |endpoint| endpoint.load());
        match (&self.strategy, key) {
            (Strategy::RoundRobin, _) => self.shares.in_turn(usable),
            (Strategy::Random, _) => self.shares.at_random(usable),
            (Strategy::PeakEwma, _) => {
                let first = self.shares.in_turn(&usable)?;
                let second = self.shares.at_random_except(first, usable);
                let now = Instant::now();
                Some(self.cheapest(first, second, |i| {
                    endpoints
                        .get(i)
                        .map_or(0.0, |endpoint| endpoint.latency.cost(endpoint.load(), now))
                }))
            }
            (Strategy::Affinity(affinity), Some(key)) => {
                affinity.pick(key, &self.shares, total, load, usable)
            }
            (Strategy::LeastRequest | Strategy::Affinity(_), _) => self.least_request(load, usable),
        }
    }

    /// The endpoint with the fewest requests in flight for its weight: the better of two
    /// (the power of two choices, Mitzenmacher 2001), or of all if they are few.
    fn least_request(
        &self,
        load: impl Fn(usize) -> usize,
        usable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let first = self.shares.in_turn(&usable)?;
        let cost = |i| load(i) as f64;
        if self.shares.len() > FEW {
            let second = self.shares.at_random_except(first, usable);
            return Some(self.cheapest(first, second, cost));
        }
        let (before, after) = (0..first, first + 1..self.shares.len());
        let others = after.chain(before).filter(|&other| usable(other));
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

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use proptest::prelude::*;

    use super::*;
    use crate::config::{Address, HashKey};

    struct Server {
        balancer: Balancer,
        endpoints: Vec<Arc<Endpoint>>,
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
            }
        }

        fn pick_if(&self, usable: impl Fn(usize) -> bool) -> Option<usize> {
            self.pick_for(Some(1), usable)
        }

        fn pick_for(&self, key: Option<u64>, usable: impl Fn(usize) -> bool) -> Option<usize> {
            let total = self.endpoints.iter().map(|e| e.in_flight()).sum();
            self.balancer.pick(&self.endpoints, total, key, usable)
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

    proptest! {
        #[test]
        fn whichever_is_usable_is_found(
            weights in prop::collection::vec(1..4_u32, 0..40),
            up in prop::collection::vec(any::<bool>(), 40),
            loads in prop::collection::vec(0..4_usize, 40),
        ) {
            for balance in every_balance() {
                let server = Server::new(balance.clone(), &weights);
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
            for balance in [Balance::LeastRequest, Balance::RoundRobin] {
                let server = Server::new(balance, &weights);
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
