//! A limit of a table, with its buckets.

use std::{borrow::Cow, fmt::Write, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    bucket::{Bucket, Count, Inflow, Level, missing},
    keyed::Keyed,
    shared::SharedStore,
    store::StoreTake,
};
use crate::config::{LimitKey, LimitUnit, Per, RateLimit};

/// A limit and its buckets in memory.
#[derive(Debug)]
pub(crate) struct LiveLimit {
    pub(crate) config: RateLimit,
    /// It in words.
    pub(crate) name: Box<str>,
    pub(super) inflow: Inflow,
    buckets: Buckets,
    /// Where its buckets are, if not in memory.
    store: Option<Arc<SharedStore>>,
    /// The name of its bucket in a store, before the key.
    store_key: Arc<str>,
}

#[derive(Debug)]
enum Buckets {
    One(Arc<Bucket>),
    Keyed(Keyed<Bucket>),
    Count(Arc<Count>),
    Counts(Keyed<Count>),
}

/// The bucket of a request.
#[derive(Debug)]
pub(super) enum Place {
    Bucket(Arc<Bucket>),
    Count(Arc<Count>),
}

/// What is left of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// This many; below zero in debt.
    Here(i64),
    /// It is in a store, which is not asked.
    Stored,
}

impl LiveLimit {
    /// A limit of the ModelRoute `route`, which has this model name.
    pub(crate) fn new(
        config: &RateLimit,
        route: &str,
        model: Option<&str>,
        store: Option<Arc<SharedStore>>,
    ) -> Arc<Self> {
        let is_keyed = *config.get_key() != LimitKey::Route;
        let is_concurrent = config.get_unit() == LimitUnit::ConcurrentRequests;
        let buckets = match (is_concurrent, is_keyed) {
            (false, false) => Buckets::One(Arc::default()),
            (false, true) => Buckets::Keyed(Keyed::new(config.get_max_keys())),
            (true, false) => Buckets::Count(Arc::default()),
            (true, true) => Buckets::Counts(Keyed::new(config.get_max_keys())),
        };
        Arc::new(Self {
            inflow: Inflow::new(config.get_amount(), period(config)),
            buckets,
            store,
            store_key: match model.filter(|_| config.get_kthena_keys()) {
                Some(model) => kthenas_key(model, config.get_unit()).into(),
                None => store_key(route, config).into(),
            },
            name: config.to_string().into(),
            config: config.clone(),
        })
    }

    /// Whether it counts tokens.
    pub(crate) fn is_of_tokens(&self) -> bool {
        self.config.get_unit().is_tokens()
    }

    /// Whether a table that is built anew with `other` keeps this one's buckets.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.config == other.config && self.store_key == other.store_key
    }

    /// Where its buckets are kept, unless in memory, if the gateway has a store of its own.
    pub(super) fn store(&self, own: Option<&Arc<SharedStore>>) -> Option<Arc<SharedStore>> {
        let store = own.or(self.store.as_ref())?;
        (self.config.get_unit() != LimitUnit::ConcurrentRequests).then(|| Arc::clone(store))
    }

    pub(super) fn place(&self, key: &str) -> Place {
        match &self.buckets {
            Buckets::One(bucket) => Place::Bucket(Arc::clone(bucket)),
            Buckets::Keyed(keyed) => Place::Bucket(keyed.get(&short(key))),
            Buckets::Count(count) => Place::Count(Arc::clone(count)),
            Buckets::Counts(keyed) => Place::Count(keyed.get(&short(key))),
        }
    }

    /// What is left for this key, without a trace.
    pub(crate) fn left(&self, key: &str, now: Instant) -> Left {
        if self.store.is_some() && self.config.get_unit() != LimitUnit::ConcurrentRequests {
            return Left::Stored;
        }
        let full = self.inflow.capacity();
        let whole = Level {
            left: i64::try_from(full).unwrap_or(i64::MAX),
            until_full: Duration::ZERO,
        };
        let free = |count: &Count| Level {
            left: i64::try_from(full.saturating_sub(count.get())).unwrap_or(i64::MAX),
            until_full: Duration::ZERO,
        };
        let level = match &self.buckets {
            Buckets::One(bucket) => bucket.level(&self.inflow, now),
            Buckets::Keyed(keyed) => keyed
                .look(&short(key))
                .map_or(whole, |bucket| bucket.level(&self.inflow, now)),
            Buckets::Count(count) => free(count),
            Buckets::Counts(keyed) => keyed.look(&short(key)).map_or(whole, |count| free(&count)),
        };
        Left::Here(level.left)
    }

    /// How long it takes until there is so much, if so much is left.
    pub(crate) fn wait_for(&self, amount: u64, left: i64) -> Duration {
        match self.config.get_unit() {
            // When one ends can't be known.
            LimitUnit::ConcurrentRequests => Duration::ZERO,
            _ => self.inflow.time_of(missing(amount, left)),
        }
    }

    /// If a store says that so much is left.
    pub(super) fn level(&self, left: i64) -> Level {
        Level {
            left,
            until_full: self.inflow.time_of(missing(self.inflow.capacity(), left)),
        }
    }

    /// What a store is asked for.
    pub(super) fn take(&self, key: &str, amount: i64) -> StoreTake {
        let key = match self.config.get_key() {
            LimitKey::Route => Arc::clone(&self.store_key),
            LimitKey::Header(_) | LimitKey::Named(_) => {
                format!("{}:{}", self.store_key, hashed(key)).into()
            }
        };
        StoreTake {
            key,
            capacity: self.inflow.capacity(),
            period: period(&self.config),
            kept: match self.config.get_kthena_keys() {
                true => kthenas_time(period(&self.config)),
                false => Duration::ZERO,
            },
            amount,
            enforced: !self.config.get_observe_only(),
        }
    }
}

fn period(config: &RateLimit) -> Duration {
    config.get_per().map_or(Duration::from_secs(1), Per::time)
}

/// The same for all limits of a route in its first part, which stands in braces. One with another
/// amount is another limit, which begins full.
fn store_key(route: &str, config: &RateLimit) -> String {
    let mut key = "tower-model-route:limit:{".to_owned();
    for letter in route.chars() {
        // Braces would end the part that Redis Cluster hashes.
        match letter {
            '{' | '}' | '%' => _ = write!(key, "%{:02X}", u32::from(letter)),
            letter => key.push(letter),
        }
    }
    let per = config.get_per().map_or("", Per::name);
    let (unit, amount) = (config.get_unit().name(), config.get_amount());
    _ = write!(key, "}}:{unit}:{per}:{amount}");
    match config.get_key() {
        LimitKey::Route => {}
        LimitKey::Header(name) => _ = write!(key, ":header:{}", name.to_ascii_lowercase()),
        LimitKey::Named(name) => _ = write!(key, ":key:{name}"),
    }
    key
}

/// As Kthena's router has it in filters/ratelimit/global.go.
fn kthenas_key(model: &str, unit: LimitUnit) -> String {
    let what = match unit {
        LimitUnit::OutputTokens => "output",
        _ => "input",
    };
    format!("kthena:ratelimit:{model}:{what}")
}

/// How long Kthena's router keeps them.
fn kthenas_time(period: Duration) -> Duration {
    const MINUTE: Duration = Duration::from_secs(60);
    (period * 3).clamp(10 * MINUTE, 90 * 24 * 60 * MINUTE)
}

/// 128 bits of XXH64 in hexadecimal: a key may be a credential, which is not for others to read.
fn hashed(key: &str) -> String {
    let [first, second] = [0, 1].map(|seed| twox_hash::XxHash64::oneshot(seed, key.as_bytes()));
    format!("{first:016x}{second:016x}")
}

/// A key of bounded length.
fn short(key: &str) -> Cow<'_, str> {
    match key.len() {
        0..=256 => key.into(),
        _ => hashed(key).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_store_keep_a_route_together_and_no_credential() {
        let limit = RateLimit::requests(5, Per::Day);
        let by_header = limit.clone().key(LimitKey::Header("X-API-Key".into()));
        let name = |config: &RateLimit, route: &str| {
            let limit = LiveLimit::new(config, route, Some("m"), None);
            limit.take("secret", 1).key.to_string()
        };
        assert_eq!(
            name(&limit, "a/b{c}"),
            "tower-model-route:limit:{a/b%7Bc%7D}:requests:day:5"
        );
        let keyed = name(&by_header, "a");
        let prefix = "tower-model-route:limit:{a}:requests:day:5:header:x-api-key:";
        assert!(
            keyed.starts_with(prefix) && !keyed.contains("secret"),
            "{keyed}"
        );
        assert_eq!(keyed.len(), prefix.len() + 32);
        let kthenas = RateLimit::output_tokens(5, Per::Day).kthena_keys(true);
        assert_eq!(name(&kthenas, "a"), "kthena:ratelimit:m:output");
    }
}
