//! A limit on what the requests of a route may use.

use std::{fmt, time::Duration};

use http::HeaderName;

use super::{mistake::MistakeKind, secret::Secret};

/// The highest rate that a limit can have, on average over its period: what a clock of 64 bits
/// counts for a hundred years.
const MOST_PER_SECOND: u64 = u32::MAX as u64;

/// A limit on the requests of a [`ModelRoute`](crate::ModelRoute): a token bucket that holds the
/// amount, and refills evenly, completely in one period.
///
/// When its route is decided, a request reserves what it will probably use, once, however often
/// it is sent. When its answer has ended, the reservation is settled with what it really used.
/// If that was more, the bucket may fall below zero, and requests are refused until it has
/// refilled. See the guide on [limits](crate::guide::limits).
///
/// The table's [`BuildError`](crate::BuildError) names these mistakes: an amount of 0, or above
/// 2^32 - 1 a second on average; a second limit of the same unit, period and key on one route, or
/// of the same unit with [`kthena_keys`](Self::kthena_keys); [`max_keys`](Self::max_keys) of 0; a
/// key whose name is empty, or no valid header name; a Redis without the feature `redis`, not at a
/// `host:port`, or for concurrent requests; a password without a Redis;
/// [`kthena_keys`](Self::kthena_keys) for a limit that it does not support.
///
/// In this example a layer above must have checked the header: a client that can make up keys gets
/// a new bucket for each.
///
/// ```
/// use tower_model_route::{LimitKey, ModelRoute, Per, RateLimit, Rule};
///
/// let route = ModelRoute::new("chat")
///     .model_name("chat")
///     .rule(Rule::new("all").target("small"))
///     .rate_limit(RateLimit::total_tokens(2_000_000, Per::Minute))
///     .rate_limit(RateLimit::requests(60, Per::Minute).key(LimitKey::Header("x-api-key".into())))
///     .rate_limit(RateLimit::concurrent_requests(8).key(LimitKey::Header("x-api-key".into())));
/// assert_eq!(route.get_rate_limits().len(), 3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[must_use]
pub struct RateLimit {
    unit: LimitUnit,
    amount: u64,
    /// Ignored for concurrent requests.
    per: Per,
    key: LimitKey,
    max_keys: usize,
    observe_only: bool,
    redis: Option<String>,
    #[cfg_attr(feature = "serde", serde(skip))]
    redis_password: Option<Secret>,
    kthena_keys: bool,
    on_store_failure: StoreFailure,
}

/// What a [`RateLimit`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub enum LimitUnit {
    /// Tokens of the prompts, cached ones included.
    InputTokens,
    /// Tokens that are generated.
    OutputTokens,
    /// Both.
    TotalTokens,
    /// Requests.
    Requests,
    /// Concurrent requests, from the decision to the end of the answer.
    ConcurrentRequests,
}

/// The time in which a bucket fills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
pub enum Per {
    /// A second.
    #[default]
    Second,
    /// 60 s.
    Minute,
    /// 3,600 s.
    Hour,
    /// 24 hours.
    Day,
    /// 30 days, as in Kthena.
    Month,
}

/// Which requests share a bucket of a [`RateLimit`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub enum LimitKey {
    /// All requests of the route, whichever of its models and adapters they
    /// name.
    #[default]
    Route,
    /// Those with the same value of this header; those without it share one too.
    Header(String),
    /// Those for which the function of this name returns the same
    /// ([`ModelRouteLayer::limit_key`](crate::ModelRouteLayer::limit_key)).
    Named(String),
}

/// What happens to requests while the store of a [`RateLimit`] fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
pub enum StoreFailure {
    /// Each gateway limits its own requests, in memory.
    #[default]
    Local,
    /// All requests pass.
    Open,
    /// No request passes: all are answered with 503 `overloaded`.
    Closed,
}

impl RateLimit {
    fn new(unit: LimitUnit, amount: u64, per: Per) -> Self {
        Self {
            unit,
            amount,
            per,
            key: LimitKey::Route,
            max_keys: 10_000,
            observe_only: false,
            redis: None,
            redis_password: None,
            kthena_keys: false,
            on_store_failure: StoreFailure::Local,
        }
    }

    /// A limit on the tokens of prompts.
    pub fn input_tokens(amount: u64, per: Per) -> Self {
        Self::new(LimitUnit::InputTokens, amount, per)
    }

    /// A limit on the tokens that are generated.
    pub fn output_tokens(amount: u64, per: Per) -> Self {
        Self::new(LimitUnit::OutputTokens, amount, per)
    }

    /// A limit on the tokens of prompts and answers together.
    pub fn total_tokens(amount: u64, per: Per) -> Self {
        Self::new(LimitUnit::TotalTokens, amount, per)
    }

    /// A limit on requests.
    pub fn requests(amount: u64, per: Per) -> Self {
        Self::new(LimitUnit::Requests, amount, per)
    }

    /// A limit on concurrent requests. Each gateway has its own: it is in no store, and
    /// [`redis`](Self::redis) with it is a [`BuildError`](crate::BuildError).
    pub fn concurrent_requests(amount: u64) -> Self {
        Self::new(LimitUnit::ConcurrentRequests, amount, Per::Second)
    }

    /// A limit of this unit; for concurrent requests the period is ignored.
    pub fn of(unit: LimitUnit, amount: u64, per: Per) -> Self {
        match unit {
            LimitUnit::ConcurrentRequests => Self::concurrent_requests(amount),
            unit => Self::new(unit, amount, per),
        }
    }

    /// Which requests share a bucket; by default all of the route do.
    pub fn key(mut self, key: LimitKey) -> Self {
        self.key = key;
        self
    }

    /// How many keys are remembered in memory, 10,000 by default; 0 is a
    /// [`BuildError`](crate::BuildError).
    ///
    /// Beyond that, the least recently used keys are forgotten, and begin with a full bucket if
    /// they come again. A key among the most recently used half is never forgotten, nor is one
    /// with a request in flight.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// Only counts and reports: no request is refused.
    pub fn observe_only(mut self, observes: bool) -> Self {
        self.observe_only = observes;
        self
    }

    /// Keeps the buckets in the Redis at this `host:port`, so that all gateways share them.
    ///
    /// The first request connects to it. All limits with the same address use one connection.
    /// [`ModelRouteLayer::limit_store`](crate::ModelRouteLayer::limit_store) overrides it. Needs
    /// the feature `redis`.
    pub fn redis(mut self, address: impl Into<String>) -> Self {
        self.redis = Some(address.into());
        self
    }

    /// The password of that Redis, for its default user; none by default. Without
    /// [`redis`](Self::redis) it is a [`BuildError`](crate::BuildError).
    ///
    /// It is neither shown nor serialized, and there is no getter for it.
    pub fn redis_password(mut self, password: impl Into<String>) -> Self {
        self.redis_password = Some(Secret::new(password));
        self
    }

    #[cfg(feature = "manifest")]
    pub(crate) fn secret_password(mut self, password: Secret) -> Self {
        self.redis_password = Some(password);
        self
    }

    /// Uses the key and the hash fields that Kthena's router uses in Redis for the route's model,
    /// so that both share the limit: `kthena:ratelimit:MODEL:input`, or `output`.
    ///
    /// Only for limits on input or output tokens of a whole route with a model name, and only one
    /// of each: the key has no period, so two limits of different periods would share one bucket.
    pub fn kthena_keys(mut self, uses: bool) -> Self {
        self.kthena_keys = uses;
        self
    }

    /// What happens while the store fails, or takes longer than 50 ms; by default each gateway
    /// limits its own requests.
    pub fn on_store_failure(mut self, what: StoreFailure) -> Self {
        self.on_store_failure = what;
        self
    }

    /// What it counts.
    pub fn get_unit(&self) -> LimitUnit {
        self.unit
    }

    /// How much of it is allowed.
    pub fn get_amount(&self) -> u64 {
        self.amount
    }

    /// In which period; `None` for concurrent requests.
    pub fn get_per(&self) -> Option<Per> {
        (self.unit != LimitUnit::ConcurrentRequests).then_some(self.per)
    }

    /// Which requests share a bucket.
    pub fn get_key(&self) -> &LimitKey {
        &self.key
    }

    /// How many keys are remembered in memory.
    pub fn get_max_keys(&self) -> usize {
        self.max_keys
    }

    /// Whether it only observes and refuses nothing.
    pub fn get_observe_only(&self) -> bool {
        self.observe_only
    }

    /// The address of its Redis.
    pub fn get_redis(&self) -> Option<&str> {
        self.redis.as_deref()
    }

    /// The password for that.
    #[cfg(feature = "redis")]
    pub(crate) fn secret(&self) -> Option<&Secret> {
        self.redis_password.as_ref()
    }

    /// Whether it uses Kthena's keys in Redis.
    pub fn get_kthena_keys(&self) -> bool {
        self.kthena_keys
    }

    /// What happens while the store fails.
    pub fn get_on_store_failure(&self) -> StoreFailure {
        self.on_store_failure
    }

    fn is_like(&self, other: &Self) -> bool {
        // Kthena's key in Redis has no time in it.
        let is_one_bucket = self.kthena_keys && other.kthena_keys;
        (self.unit, &self.key) == (other.unit, &other.key)
            && (is_one_bucket || self.get_per() == other.get_per())
    }

    /// What is wrong with it, as one of `others` before it, in a route that has a model name or
    /// has none.
    pub(crate) fn mistakes(&self, others: &[Self], has_model: bool) -> Vec<MistakeKind> {
        let is_concurrent = self.unit == LimitUnit::ConcurrentRequests;
        let most = MOST_PER_SECOND.saturating_mul(self.per.time().as_secs());
        let key = match &self.key {
            LimitKey::Route => None,
            LimitKey::Header(name) if HeaderName::try_from(name).is_err() => {
                Some(MistakeKind::InvalidHeaderName)
            }
            LimitKey::Named(name) if name.is_empty() => Some(MistakeKind::EmptyName),
            LimitKey::Header(_) | LimitKey::Named(_) => None,
        };
        let is_kthenas = matches!(self.unit, LimitUnit::InputTokens | LimitUnit::OutputTokens)
            && self.key == LimitKey::Route
            && has_model;
        let checks = [
            (
                self.amount == 0 || self.max_keys == 0,
                MistakeKind::ZeroLimit,
            ),
            (self.amount > most, MistakeKind::LimitTooLarge(most)),
            (
                others.iter().any(|other| self.is_like(other)),
                MistakeKind::DuplicateLimit,
            ),
            (
                is_concurrent && self.redis.is_some(),
                MistakeKind::LimitNotShared,
            ),
            (
                self.kthena_keys && !is_kthenas,
                MistakeKind::NotAKthenaLimit,
            ),
            (
                self.redis.as_deref().is_some_and(|text| !is_address(text)),
                MistakeKind::InvalidRedisAddress,
            ),
            (
                self.redis_password
                    .as_ref()
                    .is_some_and(|password| self.redis.is_none() || password.is_empty()),
                MistakeKind::InvalidRedisPassword,
            ),
            (
                self.redis.is_some() && cfg!(not(feature = "redis")),
                MistakeKind::RedisNotBuilt,
            ),
        ];
        let found = checks
            .into_iter()
            .filter_map(|(is, kind)| is.then_some(kind));
        key.into_iter().chain(found).collect()
    }
}

impl fmt::Display for RateLimit {
    /// In words, such as `60 requests per minute and header "x-api-key"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.unit.words())?;
        if let Some(per) = self.get_per() {
            write!(f, " per {}", per.name())?;
        }
        match &self.key {
            LimitKey::Route => Ok(()),
            LimitKey::Header(name) => write!(f, " and header {name:?}"),
            LimitKey::Named(name) => write!(f, " and {name:?}"),
        }
    }
}

/// Whether it is a host and a port.
pub(crate) fn is_address(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(host, port)| {
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
        !host.is_empty()
            && host.bytes().all(is_host)
            && (!host.contains(':') || (host.starts_with('[') && host.ends_with(']')))
            && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}

impl LimitUnit {
    #[cfg(feature = "manifest")]
    pub(crate) const ALL: [Self; 5] = [
        Self::InputTokens,
        Self::OutputTokens,
        Self::TotalTokens,
        Self::Requests,
        Self::ConcurrentRequests,
    ];

    /// Its name in manifests.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InputTokens => "inputTokens",
            Self::OutputTokens => "outputTokens",
            Self::TotalTokens => "totalTokens",
            Self::Requests => "requests",
            Self::ConcurrentRequests => "concurrentRequests",
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::InputTokens => "input tokens",
            Self::OutputTokens => "output tokens",
            Self::TotalTokens => "tokens",
            Self::Requests => "requests",
            Self::ConcurrentRequests => "concurrent requests",
        }
    }

    #[cfg(feature = "manifest")]
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.name() == name)
    }

    pub(crate) fn is_tokens(self) -> bool {
        matches!(
            self,
            Self::InputTokens | Self::OutputTokens | Self::TotalTokens
        )
    }
}

impl Per {
    #[cfg(feature = "manifest")]
    pub(crate) const ALL: [Self; 5] = [
        Self::Second,
        Self::Minute,
        Self::Hour,
        Self::Day,
        Self::Month,
    ];

    /// The time.
    pub fn time(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
            Self::Month => 30 * 86_400,
        })
    }

    /// Its name in manifests, which is Kthena's.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    #[cfg(feature = "manifest")]
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|per| per.name() == name)
    }
}

#[cfg(feature = "manifest")]
impl StoreFailure {
    pub(crate) const ALL: [Self; 3] = [Self::Local, Self::Open, Self::Closed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_in_redis_needs_its_feature() {
        let limit = RateLimit::requests(1, Per::Day).redis("redis:6379");
        let is_refused = limit
            .mistakes(&[], true)
            .contains(&MistakeKind::RedisNotBuilt);
        assert_eq!(is_refused, cfg!(not(feature = "redis")));
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (text, expected) in [
            ("redis:6379", true),
            ("10.0.0.7:6379", true),
            ("[::1]:6379", true),
            ("redis.db.svc.cluster.local:6379", true),
            ("redis", false),
            (":6379", false),
            ("redis:0", false),
            ("redis:70000", false),
            ("::1:6379", false),
            ("redis://redis:6379", false),
            ("user@redis:6379", false),
            ("", false),
        ] {
            assert_eq!(is_address(text), expected, "{text}");
        }
    }
}
