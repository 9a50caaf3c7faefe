//! A ModelServer's traffic policy and balance in words.

use std::time::Duration;

use crate::config::{Balance, HashKey, OnInterruption, Spill, TrafficPolicy};

/// The policy in a sentence, without its full stop.
pub(crate) fn sentence(policy: &TrafficPolicy) -> String {
    let mut parts = vec![retries(policy)];
    if !policy.get_retry_unknown_model() {
        parts.push("no other endpoint for an unknown model".into());
    }
    if policy.get_retry_too_long() {
        parts.push("another ModelServer for requests that are too long".into());
    }
    let time = |time: Option<Duration>, what: &str| time.map(|time| format!("{time:?} {what}"));
    parts.extend(time(policy.get_timeout(), "for an attempt"));
    parts.extend(time(policy.get_total_timeout(), "in all"));
    parts.extend(streaming(policy));
    parts.extend(
        policy
            .get_max_in_flight()
            .map(|max| format!("at most {max} in flight to an endpoint")),
    );
    if policy.get_max_queue() > 0 {
        let (max, time) = (policy.get_max_queue(), policy.get_queue_timeout());
        parts.push(format!("up to {max} waiting for {time:?}"));
    }
    if !policy.get_slow_start().is_zero() {
        parts.push(format!("a slow start of {:?}", policy.get_slow_start()));
    }
    if let Some(requests) = policy.get_prefer_zone() {
        parts.push(format!("the own zone first, below {requests} in flight"));
    }
    parts.join("; ")
}

/// What differs from the defaults.
fn streaming(policy: &TrafficPolicy) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(time) = policy.get_first_event_slow() {
        parts.push(format!("slow after {time:?} without a first event"));
    }
    match policy.get_first_event_timeout() {
        Some(time) => parts.push(format!("{time:?} for the first event")),
        None if policy.get_first_event_gate() => parts.push("held until the first event".into()),
        None => {}
    }
    let default = TrafficPolicy::new().get_stream_idle_timeout();
    match policy.get_stream_idle_timeout() {
        idle if idle == default => {}
        Some(idle) => parts.push(format!("{idle:?} without progress in an answer")),
        None => parts.push("any time without progress in an answer".into()),
    }
    if let Some(interval) = policy.get_sse_keepalive() {
        parts.push(format!("a comment to waiting clients every {interval:?}"));
    }
    if policy.get_force_usage() {
        parts.push("usage is asked for".into());
    }
    match policy.get_on_interruption() {
        OnInterruption::Event => {}
        OnInterruption::Abort => parts.push("interrupted streams break off".into()),
        OnInterruption::Pass => parts.push("interrupted streams pass".into()),
    }
    parts
}

fn retries(policy: &TrafficPolicy) -> String {
    let times = match policy.get_max_retries() {
        0 => return "no retries".to_owned(),
        1 => "1 retry".to_owned(),
        n => format!("up to {n} retries"),
    };
    let statuses = policy.get_retry_statuses().iter();
    let statuses: String = statuses
        .map(|status| format!(", {}", status.as_u16()))
        .collect();
    let (first, longest) = (policy.get_retry_interval(), policy.get_max_retry_interval());
    let when = match policy.get_max_retries() {
        _ if first.is_zero() => "at once".to_owned(),
        1 => format!("after {:?}", first.min(longest)),
        _ => format!("after {first:?}, doubling to {longest:?}"),
    };
    format!("{times} elsewhere on a connection error, a timeout{statuses}, {when}")
}

/// The strategy that chooses an endpoint.
pub(crate) fn balance(balance: &Balance) -> String {
    match balance {
        Balance::LeastRequest => "least request".to_owned(),
        Balance::LeastTokens => "least tokens".to_owned(),
        Balance::RoundRobin => "round robin".to_owned(),
        Balance::Random => "random".to_owned(),
        Balance::PeakEwma => "peak EWMA of the latency".to_owned(),
        Balance::ConsistentHash(hash) => {
            let keys: Vec<String> = hash.get_keys().iter().map(key).collect();
            let keys = keys.join(", or else ");
            format!("consistent hash of {keys}{}", spill(hash.get_spill()))
        }
        Balance::PrefixHash(prefix) => {
            let (bytes, spill) = (prefix.get_bytes(), spill(prefix.get_spill()));
            format!("hash of the first {bytes} bytes of the conversation{spill}")
        }
        Balance::PrefixCache(cache) => {
            let entries = cache.get_entries();
            format!("prefix cache of {entries} blocks of each endpoint, or else least tokens")
        }
        Balance::Custom(custom) => format!("{}, a custom balance", custom.get_name()),
    }
}

/// A key of affinity.
pub(crate) fn key(key: &HashKey) -> String {
    match key {
        HashKey::Header(name) => format!("the header {name}"),
        HashKey::Query(name) => format!("the query's {name}"),
        HashKey::Cookie(name) => format!("the cookie {name}"),
        HashKey::Extension(name) => format!("the extension {name}"),
        HashKey::ClientAddr => "the client's address".to_owned(),
        HashKey::User => "the body's user".to_owned(),
        HashKey::SessionId => "the body's session_id".to_owned(),
        HashKey::PromptCacheKey => "the body's prompt_cache_key".to_owned(),
        HashKey::Conversation => "the body's conversation".to_owned(),
    }
}

/// What differs from the default.
fn spill(spill: Spill) -> String {
    match spill {
        default if default == Spill::default() => String::new(),
        Spill::AboveRequests(requests) => format!(", spilling above {requests} in flight"),
        Spill::AboveTokens(tokens) => format!(", spilling above {tokens} tokens in flight"),
        Spill::Never => ", never spilling".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn a_policy_reads_as_a_sentence() {
        assert_eq!(sentence(&TrafficPolicy::new()), "no retries");
        let policy = TrafficPolicy::new()
            .max_retries(2)
            .timeout(Duration::from_secs(10))
            .total_timeout(Duration::from_secs(30))
            .stream_idle_timeout(Duration::from_millis(1500))
            .max_in_flight(64)
            .max_queue(8)
            .slow_start(Duration::from_secs(30))
            .prefer_zone(16);
        assert_eq!(
            sentence(&policy),
            "up to 2 retries elsewhere on a connection error, a timeout, 429, 500, 502, 503, 504, \
             after 100ms, doubling to 2s; 10s for an attempt; 30s in all; \
             1.5s without progress in an answer; at most 64 in flight to an endpoint; \
             up to 8 waiting for 1s; a slow start of 30s; the own zone first, below 16 in flight"
        );
        let policy = TrafficPolicy::new()
            .first_event_gate(true)
            .first_event_slow(Duration::from_secs(3))
            .stream_idle_timeout(Duration::ZERO)
            .sse_keepalive(Duration::from_secs(10))
            .on_interruption(OnInterruption::Abort);
        assert_eq!(
            sentence(&policy),
            "no retries; slow after 3s without a first event; held until the first event; \
             any time without progress in an answer; a comment to waiting clients every 10s; \
             interrupted streams break off"
        );
        let policy = TrafficPolicy::new()
            .max_retries(4)
            .retry_interval(Duration::ZERO)
            .retry_statuses([StatusCode::SERVICE_UNAVAILABLE]);
        assert_eq!(
            sentence(&policy),
            "up to 4 retries elsewhere on a connection error, a timeout, 503, at once"
        );
        let policy = TrafficPolicy::new()
            .first_event_timeout(Duration::from_secs(8))
            .on_interruption(OnInterruption::Pass);
        assert_eq!(
            sentence(&policy),
            "no retries; 8s for the first event; interrupted streams pass"
        );
    }
}
