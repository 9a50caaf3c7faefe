//! A ModelRoute's limits.

use serde::Serialize;

use super::document::Annotations;
use crate::{
    config::{LimitKey, LimitUnit, RateLimit, StoreFailure},
    manifest::read::rate_limit::{LIMITS, RATE_LIMIT},
};

/// Kthena's `rateLimit`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RateLimitSpec<'t> {
    #[serde(skip_serializing_if = "Option::is_none")]
    input_tokens_per_unit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_per_unit: Option<u64>,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    global: Option<Global<'t>>,
}

#[derive(Serialize)]
struct Global<'t> {
    redis: Redis<'t>,
}

#[derive(Serialize)]
struct Redis<'t> {
    address: &'t str,
}

/// What Kthena's schema has not, of any limit.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    observe_only: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    kthena_keys: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_store_failure: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FurtherLimit<'t> {
    unit: &'static str,
    limit: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    per: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_keys: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<&'t str>,
    #[serde(flatten)]
    options: Options,
}

/// What Kthena has a field for, and the annotations for the rest.
pub(super) fn write<'t>(
    limits: &'t [RateLimit],
    annotations: &mut Annotations,
) -> Option<RateLimitSpec<'t>> {
    let (own, further) = limits.split_at(kthenas(limits));
    let spec = own.first().map(|first| {
        let options = Options::of(first);
        if !options.is_default() {
            annotations.add(RATE_LIMIT, &options);
        }
        let of = |unit| {
            let mut own = own.iter();
            Some(own.find(|limit| limit.get_unit() == unit)?.get_amount())
        };
        RateLimitSpec {
            input_tokens_per_unit: of(LimitUnit::InputTokens),
            output_tokens_per_unit: of(LimitUnit::OutputTokens),
            unit: first.get_per().unwrap_or_default().name(),
            global: first.get_redis().map(|address| Global {
                redis: Redis { address },
            }),
        }
    });
    if !further.is_empty() {
        let further: Vec<_> = further.iter().map(FurtherLimit::of).collect();
        annotations.add(LIMITS, &further);
    }
    spec
}

/// How many of the first are one `rateLimit`: limits on input and then on output tokens that have
/// all else in common.
fn kthenas(limits: &[RateLimit]) -> usize {
    let is_kthenas = |limit: &RateLimit, unit| {
        limit.get_unit() == unit
            && *limit.get_key() == LimitKey::Route
            && limit.get_max_keys() == RateLimit::input_tokens(1, Default::default()).get_max_keys()
            && (1..=u64::from(u32::MAX)).contains(&limit.get_amount())
    };
    let shared = |limit: &RateLimit| {
        let redis = limit.get_redis().map(str::to_owned);
        (
            limit.get_per(),
            redis,
            limit.get_observe_only(),
            limit.get_kthena_keys(),
            limit.get_on_store_failure(),
        )
    };
    match limits {
        [input, output, ..]
            if is_kthenas(input, LimitUnit::InputTokens)
                && is_kthenas(output, LimitUnit::OutputTokens)
                && shared(input) == shared(output) =>
        {
            2
        }
        [first, ..]
            if is_kthenas(first, LimitUnit::InputTokens)
                || is_kthenas(first, LimitUnit::OutputTokens) =>
        {
            1
        }
        _ => 0,
    }
}

impl Options {
    fn of(limit: &RateLimit) -> Self {
        let what = limit.get_on_store_failure();
        Self {
            observe_only: limit.get_observe_only(),
            kthena_keys: limit.get_kthena_keys(),
            on_store_failure: (what != StoreFailure::default()).then(|| what.name()),
        }
    }

    fn is_default(&self) -> bool {
        !self.observe_only && !self.kthena_keys && self.on_store_failure.is_none()
    }
}

impl<'t> FurtherLimit<'t> {
    fn of(limit: &'t RateLimit) -> Self {
        let (header, key) = match limit.get_key() {
            LimitKey::Route => (None, None),
            LimitKey::Header(name) => (Some(&**name), None),
            LimitKey::Named(name) => (None, Some(&**name)),
        };
        let default = RateLimit::input_tokens(1, Default::default()).get_max_keys();
        Self {
            unit: limit.get_unit().name(),
            limit: limit.get_amount(),
            per: limit.get_per().map(|per| per.name()),
            header,
            key,
            max_keys: Some(limit.get_max_keys()).filter(|&keys| keys != default),
            redis: limit.get_redis(),
            options: Options::of(limit),
        }
    }
}
