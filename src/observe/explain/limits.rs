//! The limits that apply to a request.

use http::request::Parts;
use tokio::time::Instant;

use crate::{
    config::LimitKey,
    error::RouteError,
    limit::{Left, LiveLimit},
    route::{CompiledRule, CompiledTable},
};

/// A [`RateLimit`](crate::RateLimit) that applies to a request, and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
pub struct ExplainedLimit {
    limit: String,
    observe_only: bool,
    left: Option<i64>,
    redis: Option<String>,
}

impl ExplainedLimit {
    /// The limit as text, such as `60 requests per minute and header
    /// "x-api-key"`.
    pub fn limit(&self) -> &str {
        &self.limit
    }

    /// What is left in this gateway's memory; below zero if requests have used more than they had
    /// reserved. `None` if the limit is in Redis, or has a key that only the layer knows. If the
    /// layer has a [`limit_store`](crate::ModelRouteLayer::limit_store), this is the bucket that
    /// stands in for it while it fails.
    pub fn left(&self) -> Option<i64> {
        self.left
    }

    /// Whether it only observes and refuses nothing.
    pub fn is_observe_only(&self) -> bool {
        self.observe_only
    }

    /// The address of the Redis that has it.
    pub fn redis(&self) -> Option<&str> {
        self.redis.as_deref()
    }
}

/// The limits of the route of this rule.
pub(super) fn limits(
    table: &CompiledTable,
    rule: &CompiledRule,
    head: &Parts,
) -> Vec<ExplainedLimit> {
    let limits = table.limits_by(rule).iter();
    limits.map(|limit| explained(limit, head)).collect()
}

fn explained(limit: &LiveLimit, head: &Parts) -> ExplainedLimit {
    let left = match left(limit, head) {
        Some(Left::Here(left)) => Some(left),
        Some(Left::Stored) | None => None,
    };
    ExplainedLimit {
        limit: limit.config.to_string(),
        observe_only: limit.config.get_observe_only(),
        left,
        redis: limit.config.get_redis().map(str::to_owned),
    }
}

/// `None` if its key is not known here.
fn left(limit: &LiveLimit, head: &Parts) -> Option<Left> {
    let now = Instant::now();
    match limit.config.get_key() {
        LimitKey::Route => Some(limit.left("", now)),
        LimitKey::Header(name) => {
            let value = head.headers.get(name).map(|value| value.as_bytes());
            Some(limit.left(&String::from_utf8_lossy(value.unwrap_or_default()), now))
        }
        LimitKey::Named(_) => None,
    }
}

/// The answer to a request if one of these has nothing left.
pub(super) fn refusal(
    table: &CompiledTable,
    rule: &CompiledRule,
    head: &Parts,
) -> Option<RouteError> {
    let limits = table.limits_by(rule).iter();
    let enforced = limits.filter(|limit| !limit.config.get_observe_only());
    let spent = enforced.filter_map(|limit| match left(limit, head)? {
        Left::Here(left) if left < 1 => Some((limit.wait_for(1, left), limit)),
        Left::Here(_) | Left::Stored => None,
    });
    let (wait, limit) = spent.max_by_key(|(wait, _)| *wait)?;
    Some(RouteError::rate_limited(
        limit.config.get_unit().words(),
        wait,
    ))
}
