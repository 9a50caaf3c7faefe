//! The strategies on endpoints without sockets.

use std::{collections::HashSet, sync::Arc, time::Duration};

use proptest::prelude::*;
use tokio::time::Instant;

use super::{balancer::Balancer, scene::Scene, shares::FEW};
use crate::{
    config::{
        Address, Balance, Candidate, ChooseEndpoint, ConsistentHash, EndpointRequest, HashKey,
        PrefixCache, PrefixHash, Spill,
    },
    model::hash,
    server::{
        ask::{Ask, Tokens},
        balance::prompt::Prompt,
        endpoint::Endpoint,
    },
};

struct First;

impl ChooseEndpoint for First {
    fn choose(&self, _: &EndpointRequest<'_>, _: &[Candidate<'_>]) -> Option<usize> {
        Some(0)
    }
}

struct Nonsense;

impl ChooseEndpoint for Nonsense {
    fn choose(&self, _: &EndpointRequest<'_>, candidates: &[Candidate<'_>]) -> Option<usize> {
        Some(candidates.len() + 7)
    }
}

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
        let scene = Scene {
            endpoints: &self.endpoints,
            total: &|| self.endpoints.iter().map(|e| e.in_flight()).sum(),
            slow_start: self.slow_start,
            typical: &|| 1000,
            is_sent_again: false,
        };
        let ask = Ask {
            key,
            prompt: Some(Prompt::new([1, 2, 3].into(), "m", 4.0)),
            ..Ask::default()
        };
        let picked = self.balancer.pick(&scene, &ask, usable)?;
        self.balancer.has_chosen(picked, &ask);
        Some(picked)
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
        Balance::LeastTokens,
        Balance::ConsistentHash(HashKey::User.into()),
        Balance::ConsistentHash(ConsistentHash::by(HashKey::User).spill(Spill::Never)),
        Balance::ConsistentHash(ConsistentHash::by(HashKey::User).spill(Spill::AboveTokens(2000))),
        Balance::PrefixHash(100.into()),
        Balance::PrefixCache(PrefixCache::new()),
        Balance::custom("first", First),
        Balance::custom("nonsense", Nonsense),
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
    let mut server = Server::new(Balance::ConsistentHash(HashKey::User.into()), &[1; 4]);
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
    let server = Server::new(Balance::ConsistentHash(HashKey::User.into()), &[1; 2]);
    let _held = server.load(0, 1);
    assert_eq!(server.pick_for(None, |_| true), Some(1));
    let picks: HashSet<_> = (0..10).map(|_| server.pick()).collect();
    assert_eq!(picks.len(), 1);
}

#[test]
fn what_is_in_flight_counts_for_the_bound() {
    let server = Server::new(
        Balance::PrefixHash(PrefixHash::of(1).spill(Spill::AboveRequests(0))),
        &[1; 4],
    );
    let _held: Vec<_> = (0..100).map(|_| server.hold(server.pick())).collect();
    // All of one key, 31.25 each at most.
    let counts = server.endpoints.iter().map(|endpoint| endpoint.in_flight());
    assert_eq!(counts.max(), Some(32));
}

#[test]
fn only_what_needs_the_body_reads_it() {
    let wish = |balance| Balancer::new(&balance, &[]).needed_keys();
    for balance in [
        Balance::LeastRequest,
        Balance::PeakEwma,
        Balance::ConsistentHash(HashKey::ClientAddr.into()),
        Balance::ConsistentHash(HashKey::Header("x".into()).into()),
        Balance::custom("first", First),
    ] {
        assert!(wish(balance).is_none());
    }
    assert!(wish(Balance::ConsistentHash(HashKey::User.into())).user);
    assert!(wish(Balance::ConsistentHash(HashKey::SessionId.into())).session_id);
    assert_eq!(wish(Balance::PrefixHash(7.into())).prefix, 7);
    assert!(wish(Balance::LeastTokens).tokens);
    assert!(wish(Balance::PrefixCache(PrefixCache::new())).blocks);
    let by_tokens = ConsistentHash::by(HashKey::ClientAddr).spill(Spill::AboveTokens(1));
    assert!(wish(Balance::ConsistentHash(by_tokens)).tokens);
}

/// The balancer with a prompt, and what its tokens weigh at each endpoint.
fn ask(prompt: u64, output: u64, blocks: impl IntoIterator<Item = u64>) -> Ask {
    Ask {
        is_weighed: true,
        tokens: Tokens { prompt, output },
        prompt: Some(Prompt::new(blocks.into_iter().collect(), "m", 4.0)),
        ..Ask::default()
    }
}

impl Server {
    fn pick_ask(&self, ask: &Ask) -> usize {
        let scene = Scene {
            endpoints: &self.endpoints,
            total: &|| 0,
            slow_start: Duration::ZERO,
            typical: &|| 1000,
            is_sent_again: false,
        };
        let picked = self.balancer.pick(&scene, ask, |_| true).unwrap();
        let tokens = self.balancer.tokens_at(picked, ask);
        self.endpoints[picked].weigh(tokens.all());
        self.balancer.has_chosen(picked, ask);
        picked
    }
}

#[test]
fn a_long_document_weighs_as_much_as_many_chats() {
    let server = Server::new(Balance::LeastTokens, &[1; 2]);
    let document = server.pick_ask(&ask(100_000, 200, []));
    for _ in 0..400 {
        assert_ne!(server.pick_ask(&ask(200, 200, [])), document);
    }
}

/// A block is 512 bytes, here 128 tokens.
#[test]
fn who_has_the_prompt_gets_it_until_its_load_costs_more_than_that_saves() {
    let server = Server::new(Balance::PrefixCache(PrefixCache::new()), &[1; 3]);
    let conversation = || ask(1280, 0, 0..10);
    let home = server.pick_ask(&conversation());
    // 1,280 tokens, and none for those that it has computed.
    assert!((0..5).all(|_| server.pick_ask(&conversation()) == home));
    // 1,280 more than the least loaded are no more than the prompt saves.
    server.endpoints[home].weigh(1);
    assert_ne!(server.pick_ask(&conversation()), home);
}

#[test]
fn what_has_to_be_computed_counts() {
    let server = Server::new(Balance::PrefixCache(PrefixCache::new()), &[1; 2]);
    let home = server.pick_ask(&ask(1280, 0, 0..10));
    assert_eq!(server.endpoints[home].tokens(1000), 1280);
    server.endpoints[home].release(1280);
    let next = ask(1536, 80, 0..12);
    assert_eq!(server.pick_ask(&next), home);
    // The two blocks that are new, and an eighth of the output.
    assert_eq!(server.endpoints[home].tokens(1000), 256 + 10);
}

#[test]
fn what_endpoints_have_seen_outlives_a_change_of_the_endpoints() {
    let old = Server::new(Balance::PrefixCache(PrefixCache::new()), &[1; 2]);
    let home = old.pick_ask(&ask(1280, 0, 0..10));
    let new = Server::new(Balance::PrefixCache(PrefixCache::new()), &[1; 3]);
    new.balancer
        .inherit(&old.balancer, || vec![Some(1), Some(2)]);
    assert_eq!(new.pick_ask(&ask(1280, 0, 0..10)), home + 1);
}

struct ByKey;

impl ChooseEndpoint for ByKey {
    fn choose(&self, request: &EndpointRequest<'_>, candidates: &[Candidate<'_>]) -> Option<usize> {
        assert_eq!(request.model(), "m");
        let wanted = format!("http://h{}", request.key()?);
        candidates
            .iter()
            .position(|candidate| candidate.uri() == wanted)
    }
}

#[test]
fn ones_own_choice_is_among_the_usable() {
    let server = Server::new(Balance::custom("by key", ByKey), &[1; 4]);
    let scene = Scene {
        endpoints: &server.endpoints,
        total: &|| 0,
        slow_start: Duration::ZERO,
        typical: &|| 1000,
        is_sent_again: false,
    };
    let pick = |key, usable: fn(usize) -> bool| {
        let ask = Ask {
            key,
            model: Some("m".into()),
            ..Ask::default()
        };
        server.balancer.pick(&scene, &ask, usable)
    };
    assert_eq!(pick(Some(3), |_| true), Some(3));
    assert_eq!(pick(Some(3), |i| i >= 2), Some(3));
    // Not there: by load.
    assert_eq!(pick(Some(3), |i| i == 1), Some(1));
    assert_eq!(pick(Some(3), |_| false), None);
    assert!(pick(None, |_| true).is_some());
}
