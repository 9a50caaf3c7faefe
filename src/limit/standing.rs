//! What is left of limits, as an answer says it.

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::bucket::Level;
use crate::config::{LimitUnit, RateLimit};

/// What is left of one limit, for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    limit: u64,
    left: i64,
    reset: Duration,
}

/// The tightest limits of a request: those with the least left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standings {
    tokens: Option<Standing>,
    requests: Option<Standing>,
}

/// The fields of an answer, which are OpenAI's.
static TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];
static REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];

impl Standings {
    /// Clients see neither observe-only limits nor limits on concurrent requests, which are not rates.
    pub(super) fn add(&mut self, limit: &RateLimit, level: Level) {
        if limit.get_observe_only() || limit.get_unit() == LimitUnit::ConcurrentRequests {
            return;
        }
        let tightest = match limit.get_unit().is_tokens() {
            true => &mut self.tokens,
            false => &mut self.requests,
        };
        if tightest.is_none_or(|tightest| level.left < tightest.left) {
            *tightest = Some(Standing {
                limit: limit.get_amount(),
                left: level.left,
                reset: level.until_full,
            });
        }
    }

    /// Says them in `headers`, unless the engine has said its own there.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        for (standing, [limit, remaining, reset]) in
            [(self.tokens, &TOKENS), (self.requests, &REQUESTS)]
        {
            let Some(standing) = standing else { continue };
            // Half of the engine's and half of ours would say nothing.
            let mut names = headers.keys();
            if names.any(|name| [limit, remaining, reset].contains(&name)) {
                continue;
            }
            let fields = [
                (limit, HeaderValue::from(standing.limit)),
                (remaining, HeaderValue::from(standing.left.max(0))),
                (reset, Reset(standing.reset).value()),
            ];
            for (name, value) in fields {
                // An answer that has no room for another field goes without.
                _ = headers.try_insert(name, value);
            }
        }
    }
}

/// A time as OpenAI writes it: `120ms`, `7s`, `6m0s`, `1h0m5s`.
struct Reset(Duration);

impl Reset {
    fn value(&self) -> HeaderValue {
        HeaderValue::try_from(self.to_string()).unwrap_or(HeaderValue::from_static("0s"))
    }
}

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        let millis = nanos.div_ceil(1_000_000);
        if millis < 1000 && millis > 0 {
            return write!(f, "{millis}ms");
        }
        let seconds = millis.div_ceil(1000);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        match (hours, minutes) {
            (0, 0) => write!(f, "{seconds}s"),
            (0, _) => write!(f, "{minutes}m{seconds}s"),
            _ => write!(f, "{hours}h{minutes}m{seconds}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Per;

    #[test]
    fn times_are_written_as_openai_writes_them() {
        for (millis, expected) in [
            (0, "0s"),
            (1, "1ms"),
            (999, "999ms"),
            (1000, "1s"),
            (1001, "2s"),
            (360_000, "6m0s"),
            (3_605_000, "1h0m5s"),
            (2_592_000_000, "720h0m0s"),
        ] {
            let reset = Reset(Duration::from_millis(millis));
            assert_eq!(reset.to_string(), expected, "{millis}");
        }
    }

    #[test]
    fn the_tightest_is_said_and_never_over_the_engines_own() {
        let mut standings = Standings::default();
        for (limit, left) in [
            (RateLimit::total_tokens(1000, Per::Minute), 700),
            (RateLimit::input_tokens(500, Per::Minute), -4),
            (
                RateLimit::output_tokens(9, Per::Minute).observe_only(true),
                -9,
            ),
            (RateLimit::requests(50, Per::Minute), 49),
            (RateLimit::concurrent_requests(1), 0),
        ] {
            let until_full = Duration::from_secs(7);
            standings.add(&limit, Level { left, until_full });
        }
        let mut headers = HeaderMap::new();
        let engines = HeaderValue::from_static("3");
        headers.insert("x-ratelimit-remaining-requests", engines);
        standings.write(&mut headers);
        let said = |name: &str| Some(headers.get(name)?.to_str().unwrap().to_owned());
        let expected = |value: &str| Some(value.to_owned());
        assert_eq!(said("x-ratelimit-limit-tokens"), expected("500"));
        assert_eq!(said("x-ratelimit-remaining-tokens"), expected("0"));
        assert_eq!(said("x-ratelimit-reset-tokens"), expected("7s"));
        assert_eq!(said("x-ratelimit-remaining-requests"), expected("3"));
        assert_eq!(said("x-ratelimit-limit-requests"), None);
    }
}
