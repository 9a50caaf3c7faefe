//! Which endpoint of a ModelServer takes the next request.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    affinity::Affinity,
    prefixes::Prefixes,
    scene::Scene,
    shares::{FEW, Shares},
};
use crate::{
    config::{Balance, Candidate, CustomBalance, EndpointRequest, RequestHead},
    model::{NeededKeys, hash},
    server::{
        ask::{Ask, Tokens},
        endpoint::Endpoint,
        key::{Caller, Keys},
    },
};

/// A [`Balance`], ready for use.
#[derive(Debug)]
pub(crate) struct Balancer {
    shares: Shares,
    pub(super) strategy: Strategy,
}

#[derive(Debug)]
pub(super) enum Strategy {
    LeastRequest,
    LeastTokens,
    RoundRobin,
    Random,
    PeakEwma,
    Affinity(Box<Affinity>),
    PrefixCache(Box<Prefixes>),
    Custom(CustomBalance),
}

/// What a strategy wants to know of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wants {
    /// How many tokens it will cost.
    pub(crate) tokens: bool,
    /// What of it an engine may have in its cache.
    pub(crate) prompt: bool,
    /// The model's name.
    pub(crate) model: bool,
}

impl Balancer {
    /// `endpoints` are their URIs and weights, in their order.
    pub(crate) fn new(balance: &Balance, endpoints: &[(&str, u32)]) -> Self {
        let shares = Shares::new(endpoints.iter().map(|&(_, weight)| weight));
        let affinity =
            |keys, spill| Strategy::Affinity(Affinity::new(keys, spill, endpoints, &shares).into());
        let strategy = match balance {
            // The table is not built; the memory for absurd options must not be taken before.
            wrong if !wrong.mistakes().is_empty() => Strategy::LeastRequest,
            Balance::LeastRequest => Strategy::LeastRequest,
            Balance::LeastTokens => Strategy::LeastTokens,
            Balance::RoundRobin => Strategy::RoundRobin,
            Balance::Random => Strategy::Random,
            Balance::PeakEwma => Strategy::PeakEwma,
            Balance::ConsistentHash(hash) => affinity(Keys::new(hash.get_keys()), hash.get_spill()),
            Balance::PrefixHash(prefix) => {
                affinity(Keys::prefix(prefix.get_bytes()), prefix.get_spill())
            }
            Balance::PrefixCache(cache) => {
                Strategy::PrefixCache(Prefixes::new(endpoints.len(), cache.get_entries()).into())
            }
            Balance::Custom(custom) => Strategy::Custom(custom.clone()),
        };
        Self { shares, strategy }
    }

    /// Takes over what the balancer of a replaced table has learned; `positions` are those of its
    /// endpoints here.
    pub(crate) fn inherit(&self, old: &Self, positions: impl FnOnce() -> Vec<Option<usize>>) {
        if let (Strategy::PrefixCache(new), Strategy::PrefixCache(old)) =
            (&self.strategy, &old.strategy)
        {
            let positions = positions();
            new.inherit(old, |old| positions.get(old).copied().flatten());
        }
    }

    fn affinity(&self) -> Option<&Affinity> {
        match &self.strategy {
            Strategy::Affinity(affinity) => Some(affinity),
            _ => None,
        }
    }

    /// The weight of an endpoint, divided by what all have in common.
    pub(super) fn weight(&self, position: usize) -> u64 {
        self.shares.weight(position)
    }

    fn prefixes(&self) -> Option<&Prefixes> {
        match &self.strategy {
            Strategy::PrefixCache(prefixes) => Some(prefixes),
            _ => None,
        }
    }

    /// What the strategy needs of a request's body.
    pub(crate) fn needed_keys(&self) -> NeededKeys {
        let keys = self.affinity().map(Affinity::needed_keys);
        let wants = self.wants();
        NeededKeys {
            tokens: wants.tokens,
            blocks: wants.prompt,
            ..keys.unwrap_or_default()
        }
    }

    /// Whether it depends on nothing but the requests in flight to each
    /// endpoint.
    pub(crate) fn goes_by_requests(&self) -> bool {
        matches!(self.strategy, Strategy::LeastRequest)
    }

    /// The endpoint with the least requests in flight for its weight, for a request that is sent
    /// for the first time; see [`pick`](Self::pick).
    pub(crate) fn least_loaded(
        &self,
        endpoints: &[Arc<Endpoint>],
        usable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let requests = |i| {
            let endpoint: Option<&Arc<Endpoint>> = endpoints.get(i);
            endpoint.map_or(0, |endpoint| endpoint.load()) as f64
        };
        let first = self.shares.in_turn(&usable)?;
        Some(self.least(first, requests, |_, other| usable(other)))
    }

    /// Whether it needs nothing from the request.
    pub(crate) fn asks_nothing(&self) -> bool {
        matches!(
            self.strategy,
            Strategy::LeastRequest | Strategy::RoundRobin | Strategy::Random | Strategy::PeakEwma
        )
    }

    /// What the strategy wants to know of a request.
    pub(crate) fn wants(&self) -> Wants {
        match &self.strategy {
            Strategy::LeastTokens => Wants {
                tokens: true,
                ..Wants::default()
            },
            Strategy::PrefixCache(_) => Wants {
                tokens: true,
                prompt: true,
                model: false,
            },
            Strategy::Affinity(affinity) => Wants {
                tokens: affinity.weighs_tokens(),
                ..Wants::default()
            },
            Strategy::Custom(custom) => Wants {
                tokens: custom.chooses().counts_tokens(),
                prompt: false,
                model: true,
            },
            Strategy::LeastRequest
            | Strategy::RoundRobin
            | Strategy::Random
            | Strategy::PeakEwma => Wants::default(),
        }
    }

    /// Whether the requests in flight to all endpoints together must be known.
    pub(crate) fn wants_total(&self) -> bool {
        self.affinity().is_some_and(Affinity::wants_total)
    }

    /// Whether the endpoints' latencies must be observed.
    pub(crate) fn wants_latency(&self) -> bool {
        matches!(self.strategy, Strategy::PeakEwma | Strategy::Custom(_))
    }

    /// The key of a request; `None` if the request has no key, or the strategy needs none.
    pub(crate) fn key<'a>(
        &self,
        caller: Caller<'a>,
        model: impl FnOnce() -> &'a str,
    ) -> Option<u64> {
        match &self.strategy {
            Strategy::Affinity(affinity) => affinity.key(caller),
            Strategy::Custom(custom) => custom.chooses().key(&RequestHead {
                uri: caller.uri,
                headers: caller.headers,
                extensions: caller.extensions,
                model: model(),
            }),
            _ => None,
        }
    }

    /// The tokens that a request costs the endpoint at this position.
    pub(crate) fn tokens_at(&self, position: usize, ask: &Ask) -> Tokens {
        match (self.prefixes(), &ask.prompt) {
            (Some(prefixes), Some(prompt)) => ask.tokens.without(prefixes.cached(prompt, position)),
            _ => ask.tokens,
        }
    }

    /// The request goes to the endpoint at this position.
    pub(crate) fn has_chosen(&self, position: usize, ask: &Ask) {
        if let (Some(prefixes), Some(prompt)) = (self.prefixes(), &ask.prompt) {
            prefixes.remember(prompt, position);
        }
    }

    /// The position of an endpoint for which `usable` holds; `None` only if no endpoint is usable.
    ///
    /// `usable` may be asked more than once for an endpoint, and should be cheap.
    pub(crate) fn pick(
        &self,
        scene: &Scene<'_>,
        ask: &Ask,
        usable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        if self.shares.len() <= 1 {
            return (self.shares.len() == 1 && usable(0)).then_some(0);
        }
        if scene.slow_start.is_zero() {
            let beside = |_, other| usable(other);
            return self.choose(scene, ask, &usable, beside);
        }
        let share = |i: usize| {
            let endpoint = scene.endpoints.get(i);
            endpoint.map_or(1.0, |endpoint| endpoint.health.share(scene.slow_start))
        };
        // What is drawn anew each time in place of a key, which always has the same.
        let drawn = || ask.key.map_or_else(fastrand::f64, fraction);
        let in_its_turn = |i| usable(i) && (share(i) >= 1.0 || drawn() < share(i));
        let beside = |first, other| usable(other) && share(other) >= share(first);
        let in_turn = self.choose(scene, ask, in_its_turn, beside);
        in_turn.or_else(|| self.choose(scene, ask, &usable, beside))
    }

    /// The first endpoint that is looked at is usable `in_its_turn`; those that may be chosen in
    /// its place are usable `beside` it.
    fn choose(
        &self,
        scene: &Scene<'_>,
        ask: &Ask,
        in_its_turn: impl Fn(usize) -> bool,
        beside: impl Fn(usize, usize) -> bool,
    ) -> Option<usize> {
        let requests = |i| scene.load(i) as f64;
        let tokens = |i| scene.tokens(i) as f64;
        let first = || match scene.is_sent_again {
            true => self.shares.at_random(&in_its_turn),
            false => self.shares.in_turn(&in_its_turn),
        };
        match (&self.strategy, ask.key) {
            (Strategy::RoundRobin, _) => first(),
            (Strategy::Random, _) => self.shares.at_random(in_its_turn),
            (Strategy::PeakEwma, _) => {
                let first = first()?;
                let second = self
                    .shares
                    .at_random_except(first, |other| beside(first, other));
                let now = Instant::now();
                Some(self.cheapest(first, second, |i| scene.cost_of_latency(i, now)))
            }
            (Strategy::Affinity(affinity), Some(key)) => {
                affinity.pick(key, &self.shares, scene, in_its_turn)
            }
            (Strategy::LeastTokens, _) => Some(self.least(first()?, tokens, beside)),
            (Strategy::PrefixCache(prefixes), _) => {
                let least = self.least(first()?, tokens, beside);
                let Some(prompt) = &ask.prompt else {
                    return Some(least);
                };
                let weight = |i| self.shares.weight(i);
                Some(prefixes.pick(prompt, least, scene, weight, in_its_turn))
            }
            (Strategy::Custom(custom), _) => {
                let chosen = self.ask_custom(custom, scene, ask, &in_its_turn);
                chosen.or_else(|| Some(self.least(first()?, requests, beside)))
            }
            (Strategy::LeastRequest | Strategy::Affinity(_), _) => {
                Some(self.least(first()?, requests, beside))
            }
        }
    }

    /// What the user's own balance chooses.
    fn ask_custom(
        &self,
        custom: &CustomBalance,
        scene: &Scene<'_>,
        ask: &Ask,
        usable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let all = scene.endpoints.iter().enumerate();
        let all = all.filter(|(position, _)| usable(*position));
        let (positions, candidates): (Vec<usize>, Vec<Candidate<'_>>) = all
            .map(|(position, endpoint)| {
                let candidate = Candidate {
                    uri: endpoint.uri(),
                    weight: self.shares.weight(position),
                    in_flight: endpoint.in_flight(),
                    load: endpoint.load(),
                    tokens: match custom.chooses().counts_tokens() {
                        true => endpoint.tokens((scene.typical)()),
                        false => 0,
                    },
                    latency: endpoint.latency.average(),
                };
                (position, candidate)
            })
            .unzip();
        if candidates.is_empty() {
            return None;
        }
        let request = EndpointRequest {
            model: ask.model.as_deref().unwrap_or_default(),
            key: ask.key,
            prompt_tokens: ask.tokens.prompt,
            output_tokens: ask.tokens.output,
        };
        let chosen = custom.chooses().choose(&request, &candidates)?;
        positions.get(chosen).copied()
    }

    /// The endpoint with the least cost for its weight: the better of two, of which one is the
    /// `first` (the power of two choices, Mitzenmacher 2001), or of all if they are few.
    fn least(
        &self,
        first: usize,
        cost: impl Fn(usize) -> f64,
        beside: impl Fn(usize, usize) -> bool,
    ) -> usize {
        if self.shares.len() > FEW {
            let second = self
                .shares
                .at_random_except(first, |other| beside(first, other));
            return self.cheapest(first, second, cost);
        }
        let (before, after) = (0..first, first + 1..self.shares.len());
        let others = after.chain(before).filter(|&other| beside(first, other));
        self.cheapest(first, others, cost)
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
        let of_first = cost(first);
        // None costs less: with little load that is so, and saves the look at the others.
        if of_first == 0.0 {
            return first;
        }
        // A product takes a third of the time of a division.
        let least = |least: (usize, f64, f64), other| {
            let (cost, weight) = (cost(other), self.shares.weight(other) as f64);
            match cost * least.2 < least.1 * weight {
                true => (other, cost, weight),
                false => least,
            }
        };
        let begin = (first, of_first, self.shares.weight(first) as f64);
        others.into_iter().fold(begin, least).0
    }
}

/// A number from 0 to 1 that has nothing to do with where on the ring the key is.
fn fraction(key: u64) -> f64 {
    hash(1, &key.to_le_bytes()) as f64 / u64::MAX as f64
}
