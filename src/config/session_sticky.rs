//! Sticky sessions: the configuration.

use std::time::Duration;

use http::HeaderName;

#[cfg(feature = "serde")]
use super::serial;
use super::{affinity::HashKey, mistake::MistakeKind, rate_limit::is_address, secret::Secret};

/// Binds each session to the endpoint that its first request went to: Kthena's
/// `trafficPolicy.sessionSticky`.
///
/// A session is all requests to one ModelServer with the same key: the first of the `sources` that
/// a request has. Requests without a key are balanced as usual ([`Balance`](crate::Balance)).
///
/// - The weighted split of a rule comes first. A session is bound within the ModelServer that the
///   split has chosen, and has a binding in each.
/// - A session that is not bound is placed by a hash of its key over the healthy endpoints
///   (rendezvous hashing, by weight) and not by the balance, so that gateways that share nothing
///   mostly agree. It is then bound, and stays where it is when endpoints are added.
/// - If its endpoint is gone or out (ejected, drained, failing its health checks), it is bound anew,
///   and stays there when the old one is back.
/// - If its endpoint is full ([`max_in_flight`](crate::TrafficPolicy::max_in_flight)), or has just
///   failed this request, the request goes elsewhere, and the binding stays.
/// - A binding ends when the session has been idle for the [idle time](Self::idle_for). At most
///   [`max_sessions`](Self::max_sessions) are bound; those idle for longest are dropped first.
///
/// Only a 64-bit hash of a key is kept; with its binding it takes about 80 bytes. Bindings survive
/// reloads. With [`redis`](Self::redis), gateways share them: the first to bind a session decides.
///
/// ```
/// use std::time::Duration;
/// use tower_model_route::{HashKey, SessionSticky, TrafficPolicy};
///
/// let sticky = SessionSticky::new([
///     HashKey::Header("x-session-id".to_owned()),
///     HashKey::Cookie("session".to_owned()),
/// ]);
/// let policy = TrafficPolicy::new().session_sticky(sticky.idle_for(Duration::from_secs(600)));
/// # let _ = policy;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[must_use]
pub struct SessionSticky {
    sources: Vec<HashKey>,
    #[cfg_attr(feature = "serde", serde(serialize_with = "serial::duration"))]
    idle: Duration,
    max_sessions: usize,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    redis: Option<String>,
    #[cfg_attr(feature = "serde", serde(skip))]
    password: Option<Secret>,
}

impl SessionSticky {
    /// The key of a session is the first of these `sources` that a request has; no sources are a
    /// [`BuildError`](crate::BuildError). By default, bindings are in memory, at most 65,536, and
    /// end when a session has been idle for 5 minutes.
    pub fn new(sources: impl IntoIterator<Item = HashKey>) -> Self {
        Self {
            sources: sources.into_iter().collect(),
            idle: Duration::from_secs(300),
            max_sessions: 65_536,
            redis: None,
            password: None,
        }
    }

    /// How long a session may be idle before its binding ends; 5 minutes by default, and zero is a
    /// [`BuildError`](crate::BuildError).
    pub fn idle_for(mut self, time: Duration) -> Self {
        self.idle = time;
        self
    }

    /// The most sessions that are bound at a time, 65,536 by default; 0 is a
    /// [`BuildError`](crate::BuildError).
    pub fn max_sessions(mut self, max: usize) -> Self {
        self.max_sessions = max;
        self
    }

    /// Keeps bindings in the Redis at this `host:port` too, so that gateways share them. Needs the
    /// feature `redis`.
    ///
    /// Redis is asked if a session is not known here, for at most 50 ms. A task writes the bindings
    /// made here. If another gateway was faster, its binding counts from the next request on. If
    /// another gateway rebinds a session because its endpoint is out there, this one follows the
    /// next time it refreshes the session in Redis: after a quarter of the [idle
    /// time](Self::idle_for). While Redis fails, each gateway uses what it knows, and the hash of
    /// the key.
    pub fn redis(mut self, address: impl Into<String>) -> Self {
        self.redis = Some(address.into());
        self
    }

    /// The password of that Redis, for its default user; unescaped, never shown. Without
    /// [`redis`](Self::redis) it is a [`BuildError`](crate::BuildError).
    pub fn redis_password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(Secret::new(password));
        self
    }

    /// Where the key of a session may be, in order.
    pub fn get_sources(&self) -> &[HashKey] {
        &self.sources
    }

    /// How long a session may be idle.
    pub fn get_idle(&self) -> Duration {
        self.idle
    }

    /// The most sessions that are bound at a time.
    pub fn get_max_sessions(&self) -> usize {
        self.max_sessions
    }

    /// The address of the Redis that bindings are kept in.
    pub fn get_redis(&self) -> Option<&str> {
        self.redis.as_deref()
    }
    #[cfg(feature = "redis")]
    pub(crate) fn secret(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    pub(crate) fn mistakes(&self) -> impl Iterator<Item = MistakeKind> {
        let redis = self.redis.as_deref();
        let password = self.password.as_ref();
        let checks = [
            (self.sources.is_empty(), MistakeKind::NoSessionSources),
            (self.idle.is_zero(), MistakeKind::ZeroTime),
            (self.max_sessions == 0, MistakeKind::ZeroLimit),
            (
                redis.is_some_and(|address| !is_address(address)),
                MistakeKind::InvalidRedisAddress,
            ),
            (
                password.is_some_and(|password| redis.is_none() || password.is_empty()),
                MistakeKind::InvalidRedisPassword,
            ),
            (
                redis.is_some() && cfg!(not(feature = "redis")),
                MistakeKind::RedisNotBuilt,
            ),
        ];
        let checks = checks.into_iter();
        let found = checks.filter_map(|(is, kind)| is.then_some(kind));
        self.sources.iter().filter_map(source_mistake).chain(found)
    }
}

fn source_mistake(source: &HashKey) -> Option<MistakeKind> {
    match source {
        HashKey::Header(name) if HeaderName::try_from(name).is_err() => {
            Some(MistakeKind::InvalidHeaderName)
        }
        HashKey::Query(name) | HashKey::Cookie(name) | HashKey::Extension(name)
            if name.is_empty() =>
        {
            Some(MistakeKind::EmptyName)
        }
        _ => None,
    }
}
