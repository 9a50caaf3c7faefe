//! What a request takes of its limits, and how it is settled.

use std::{borrow::Cow, pin::Pin, sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::debug;

use super::{
    bucket::{Bucket, Count, Inflow, Level, missing},
    estimate::{Estimate, Estimates},
    live::{LiveLimit, Place},
    shared::SharedStore,
    standing::Standings,
    store::{StoreLevel, StoreTake},
};
use crate::{
    config::{LimitUnit, StoreFailure},
    error::{RouteError, RouteErrorKind},
    events::MOST_TOKENS,
};

/// A reservation that a store is asked for.
pub(crate) type Pending = Pin<Box<dyn Future<Output = Result<Reservation, Box<Refusal>>> + Send>>;

/// What a request will probably use, or may have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Expected {
    input: u64,
    output: u64,
}

/// What a request has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) input: Spent,
    pub(crate) output: Spent,
}

/// A number of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spent {
    Known(u64),
    /// At least this much; the reservation counts if it is more.
    AtLeast(u64),
}

impl Spent {
    fn known(self) -> u64 {
        match self {
            Self::Known(tokens) | Self::AtLeast(tokens) => tokens,
        }
    }

    fn of(self, expected: u64) -> u64 {
        match self {
            Self::Known(tokens) => tokens,
            Self::AtLeast(tokens) => tokens.max(expected),
        }
    }
}

/// What a request asks of one limit.
#[derive(Debug)]
struct Ask {
    limit: Arc<LiveLimit>,
    key: Box<str>,
    amount: u64,
    store: Option<Arc<SharedStore>>,
}

/// What a request asks of all its limits.
#[derive(Debug)]
pub(crate) struct Asked {
    expected: Expected,
    asks: Vec<Ask>,
}

/// What a request has taken. It is settled once; dropped unsettled, it is given back.
#[derive(Debug, Default)]
pub(crate) struct Reservation {
    expected: Expected,
    held: Vec<Held>,
    /// Limits that let the request pass and hold nothing of it.
    others: Vec<LimitDecision>,
    pub(crate) standings: Standings,
}

/// Why a request may not go on.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: RouteError,
    /// The limit that refuses.
    pub(crate) by: LimitDecision,
    pub(crate) standings: Standings,
}

/// The decision of a limit.
#[derive(Clone, Debug)]
pub(crate) struct LimitDecision {
    pub(crate) limit: Arc<LiveLimit>,
    pub(crate) verdict: Verdict,
    /// Where it looked: `memory`, `store`, or what stands in for a store that fails: `local`, `open`,
    /// `closed`.
    pub(crate) store: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    Refused,
    /// It would refuse, and only observes.
    Observed,
}

#[derive(Debug)]
struct Held {
    limit: Arc<LiveLimit>,
    amount: u64,
    place: Kept,
    store: &'static str,
}

/// Where something was taken.
#[derive(Debug)]
enum Kept {
    Bucket(Arc<Bucket>),
    Count(Arc<Count>),
    /// And what was left then.
    Store(Arc<SharedStore>, StoreTake, i64),
}

impl Asked {
    /// `keyed` are the limits of the route, each with the request's key; `own` is the store of
    /// the gateway.
    pub(crate) fn new<'a>(
        keyed: impl Iterator<Item = (&'a Arc<LiveLimit>, Cow<'a, str>)>,
        own: Option<&Arc<SharedStore>>,
        estimates: &Estimates,
        estimate: &Estimate,
    ) -> Self {
        let expected = Expected {
            input: estimates.input(estimate),
            output: estimates.output(estimate),
        };
        let asks = keyed.map(|(limit, key)| Ask {
            amount: expected.of(limit),
            store: limit.store(own),
            key: key.into_owned().into(),
            limit: Arc::clone(limit),
        });
        Self {
            expected,
            asks: asks.collect(),
        }
    }

    /// Takes all or nothing from the buckets in memory; `Err` if some are in a store.
    pub(crate) fn reserve(self) -> Result<Result<Reservation, Box<Refusal>>, Pending> {
        if self.asks.iter().all(|ask| ask.store.is_none()) {
            let mut reservation = Reservation::of(self.expected);
            let taken = reservation.take(&self.asks, Instant::now());
            return Ok(taken.map(|()| reservation));
        }
        Err(Box::pin(self.reserve_stored()))
    }

    async fn reserve_stored(self) -> Result<Reservation, Box<Refusal>> {
        let mut reservation = Reservation::of(self.expected);
        let (mut stored, local): (Vec<_>, Vec<_>) =
            self.asks.into_iter().partition(|ask| ask.store.is_some());
        reservation.take(&local, Instant::now())?;
        // Usually there is one store.
        while let Some(store) = stored.last().and_then(|ask| ask.store.clone()) {
            let is_there = |ask: &mut Ask| {
                ask.store
                    .as_ref()
                    .is_some_and(|its| Arc::ptr_eq(its, &store))
            };
            let asks: Vec<Ask> = stored.extract_if(.., is_there).collect();
            let takes: Arc<[StoreTake]> = asks.iter().map(Ask::store_take).collect();
            match store.reserve(Arc::clone(&takes)).await {
                Some(levels) => reservation.stored(&store, asks, &takes, &levels)?,
                None => reservation.without_store(asks)?,
            }
        }
        Ok(reservation)
    }
}

impl Expected {
    /// Never more than a bucket holds: it would never pass.
    fn of(self, limit: &LiveLimit) -> u64 {
        let amount = self.count(limit.config.get_unit());
        amount.min(limit.config.get_amount())
    }

    fn count(self, unit: LimitUnit) -> u64 {
        match unit {
            LimitUnit::InputTokens => self.input,
            LimitUnit::OutputTokens => self.output,
            LimitUnit::TotalTokens => self.input.saturating_add(self.output),
            LimitUnit::Requests | LimitUnit::ConcurrentRequests => 1,
        }
    }
}

impl Ask {
    fn store_take(&self) -> StoreTake {
        let amount = i64::try_from(self.amount).unwrap_or(i64::MAX);
        self.limit.take(&self.key, amount)
    }

    /// Takes it from memory.
    fn take(&self, now: Instant) -> Result<(Kept, Level), Duration> {
        let inflow = &self.limit.inflow;
        match self.limit.place(&self.key) {
            Place::Bucket(bucket) => {
                let level = bucket.take(self.amount, inflow, now)?;
                Ok((Kept::Bucket(bucket), level))
            }
            Place::Count(count) => {
                // When one ends can't be known.
                let left = count.enter(inflow.capacity()).ok_or(Duration::ZERO)?;
                let level = Level {
                    left: i64::try_from(left).unwrap_or(i64::MAX),
                    until_full: Duration::ZERO,
                };
                Ok((Kept::Count(count), level))
            }
        }
    }

    /// What its limit says to a request that does not fit.
    fn level(&self, now: Instant) -> Option<Level> {
        match self.limit.place(&self.key) {
            Place::Bucket(bucket) => Some(bucket.level(&self.limit.inflow, now)),
            Place::Count(_) => None,
        }
    }

    fn observes(&self) -> bool {
        self.limit.config.get_observe_only()
    }

    fn held(&self, place: Kept) -> Held {
        Held {
            store: match place {
                Kept::Bucket(_) | Kept::Count(_) => self.memory(),
                Kept::Store(..) => "store",
            },
            limit: Arc::clone(&self.limit),
            amount: self.amount,
            place,
        }
    }

    /// Where its buckets in memory stand in for a store.
    fn memory(&self) -> &'static str {
        match self.store {
            None => "memory",
            Some(_) => "local",
        }
    }

    fn says(&self, verdict: Verdict, store: &'static str) -> LimitDecision {
        LimitDecision {
            limit: Arc::clone(&self.limit),
            verdict,
            store,
        }
    }

    /// The request does not fit, but the limit only observes.
    fn would_refuse(&self, store: &'static str) -> LimitDecision {
        debug!(
            target: "tower_model_route::limit",
            limit = %self.limit.config,
            amount = self.amount,
            "an observe-only limit would have refused a request",
        );
        self.says(Verdict::Observed, store)
    }
}

impl Reservation {
    fn of(expected: Expected) -> Self {
        let mut reservation = Self::default();
        reservation.expected = expected;
        reservation
    }

    /// Takes all or nothing from memory. On a refusal what was taken is given back.
    fn take(&mut self, asks: &[Ask], now: Instant) -> Result<(), Box<Refusal>> {
        let mut refused: Option<(&Ask, Duration)> = None;
        let mut standings = Standings::default();
        for ask in asks.iter().filter(|ask| !ask.observes()) {
            match ask.take(now) {
                Ok((place, level)) => {
                    self.standings.add(&ask.limit.config, level);
                    self.held.push(ask.held(place));
                }
                Err(wait) => {
                    if let Some(level) = ask.level(now) {
                        standings.add(&ask.limit.config, level);
                    }
                    if refused.is_none_or(|(_, longest)| wait > longest) {
                        refused = Some((ask, wait));
                    }
                }
            }
        }
        if let Some((ask, wait)) = refused {
            let by = ask.says(Verdict::Refused, ask.memory());
            return Err(self.refuse(by, wait, standings));
        }
        // Those that only observe take nothing from a request that is refused.
        for ask in asks.iter().filter(|ask| ask.observes()) {
            match ask.take(now) {
                Ok((place, _)) => self.held.push(ask.held(place)),
                Err(_) => self.others.push(ask.would_refuse(ask.memory())),
            }
        }
        Ok(())
    }

    /// A store has answered with these `levels`.
    fn stored(
        &mut self,
        store: &Arc<SharedStore>,
        asks: Vec<Ask>,
        takes: &[StoreTake],
        levels: &[StoreLevel],
    ) -> Result<(), Box<Refusal>> {
        let mut refused: Option<(&Ask, Duration)> = None;
        let mut standings = Standings::default();
        for (ask, level) in asks.iter().zip(levels) {
            let (StoreLevel::Fits(left) | StoreLevel::Short(left)) = *level else {
                continue;
            };
            standings.add(&ask.limit.config, ask.limit.level(left));
            if matches!(level, StoreLevel::Short(_)) && !ask.observes() {
                let wait = ask.limit.inflow.time_of(missing(ask.amount, left));
                if refused.is_none_or(|(_, longest)| wait > longest) {
                    refused = Some((ask, wait));
                }
            }
        }
        if let Some((ask, wait)) = refused {
            return Err(self.refuse(ask.says(Verdict::Refused, "store"), wait, standings));
        }
        let mut unusable = Vec::new();
        for ((ask, level), take) in asks.into_iter().zip(levels).zip(takes) {
            match *level {
                StoreLevel::Fits(left) => {
                    self.standings.add(&ask.limit.config, ask.limit.level(left));
                    let place = Kept::Store(Arc::clone(store), take.clone(), left);
                    self.held.push(ask.held(place));
                }
                StoreLevel::Short(_) => self.others.push(ask.would_refuse("store")),
                StoreLevel::Unusable => unusable.push(ask),
            }
        }
        self.without_store(unusable)
    }

    /// The store fails, or can't use the buckets of these.
    fn without_store(&mut self, asks: Vec<Ask>) -> Result<(), Box<Refusal>> {
        let what = |ask: &Ask| ask.limit.config.get_on_store_failure();
        let is_closed = |ask: &Ask| what(ask) == StoreFailure::Closed && !ask.observes();
        if let Some(ask) = asks.iter().find(|ask| is_closed(ask)) {
            self.refund();
            return Err(Box::new(Refusal {
                by: ask.says(Verdict::Refused, "closed"),
                error: RouteError::new(
                    RouteErrorKind::Overloaded,
                    "the rate limit can't be checked at the moment, try again shortly",
                ),
                standings: Standings::default(),
            }));
        }
        let (local, open): (Vec<_>, Vec<_>) = asks
            .into_iter()
            .partition(|ask| what(ask) == StoreFailure::Local);
        let open = open.iter().map(|ask| ask.says(Verdict::Allowed, "open"));
        self.others.extend(open);
        self.take(&local, Instant::now())
    }

    /// Gives back what it holds, and says what is left then, beside `standings`.
    fn refuse(
        &mut self,
        by: LimitDecision,
        wait: Duration,
        mut standings: Standings,
    ) -> Box<Refusal> {
        let now = Instant::now();
        for held in self.held.drain(..) {
            held.settle(0, now);
            if let Some(level) = held.level(now) {
                standings.add(&held.limit.config, level);
            }
        }
        Box::new(Refusal {
            error: RouteError::rate_limited(by.limit.config.get_unit().words(), wait),
            standings,
            by,
        })
    }

    /// The decisions of its limits.
    pub(crate) fn decisions(&self) -> impl Iterator<Item = LimitDecision> {
        let held = self.held.iter().map(|held| LimitDecision {
            limit: Arc::clone(&held.limit),
            verdict: Verdict::Allowed,
            store: held.store,
        });
        held.chain(self.others.iter().cloned())
    }

    /// Whether nothing was taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether what was taken depends on what the engine reports.
    pub(crate) fn holds_tokens(&self) -> bool {
        let mut units = self.held.iter().map(|held| held.limit.config.get_unit());
        units.any(LimitUnit::is_tokens)
    }

    /// The request has used this much.
    pub(crate) fn settle(&mut self, used: Used) {
        if self.held.is_empty() {
            return;
        }
        let now = Instant::now();
        let known = Expected {
            input: used.input.known(),
            output: used.output.known(),
        };
        let guessed = Expected {
            input: used.input.of(self.expected.input),
            output: used.output.of(self.expected.output),
        };
        for held in self.held.drain(..) {
            let unit = held.limit.config.get_unit();
            // A guess costs no more than was reserved, what is known does.
            let most = held.amount.max(known.count(unit));
            let actual = guessed.count(unit).min(most);
            held.settle(held.believed(actual), now);
        }
    }

    /// No engine has answered: it has used nothing.
    pub(crate) fn refund(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let now = Instant::now();
        for held in self.held.drain(..) {
            held.settle(0, now);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.refund();
    }
}

impl Held {
    /// What was reserved, if an engine says that it was more than possible.
    fn believed(&self, actual: u64) -> u64 {
        match actual {
            0..=MOST_TOKENS => actual,
            _ => self.amount,
        }
    }

    /// What is left of its limit after it was given back.
    fn level(&self, now: Instant) -> Option<Level> {
        match &self.place {
            Kept::Bucket(bucket) => Some(bucket.level(&self.limit.inflow, now)),
            Kept::Count(_) => None,
            Kept::Store(_, take, left) => {
                let most = i64::try_from(take.capacity).unwrap_or(i64::MAX);
                Some(self.limit.level(left.saturating_add(take.amount).min(most)))
            }
        }
    }

    fn settle(&self, actual: u64, now: Instant) {
        let inflow: &Inflow = &self.limit.inflow;
        match &self.place {
            Kept::Bucket(bucket) if actual > self.amount => {
                bucket.charge(actual - self.amount, inflow, now);
            }
            Kept::Bucket(bucket) => bucket.give_back(self.amount - actual),
            Kept::Count(count) => count.leave(),
            Kept::Store(store, take, _) => {
                let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
                let amount = signed(actual).saturating_sub(signed(self.amount));
                if amount != 0 {
                    store.settle(StoreTake {
                        amount,
                        ..take.clone()
                    });
                }
            }
        }
    }
}
