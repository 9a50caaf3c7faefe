//! What a request counts in when it has ended.

use std::{
    collections::BTreeMap,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::histogram::{Counted, Histogram};
use crate::observe::facts::{EndFacts, LimitVerdict};

/// More codes than there are.
const CODES: usize = 40;

/// What was counted of requests.
#[derive(Debug, Default)]
pub(super) struct Figures {
    requests: AtomicU64,
    /// What only some have takes its memory when it is first needed.
    to_head: OnceLock<Box<Histogram>>,
    to_first_token: OnceLock<Box<Histogram>>,
    input: Tokens,
    output: Tokens,
    errors: OnceLock<Box<Errors>>,
}

/// Tokens of one kind, by how they are known.
#[derive(Debug, Default)]
struct Tokens {
    exact: AtomicU64,
    estimated: AtomicU64,
}

/// How often each code was counted.
#[derive(Debug)]
struct Errors([(OnceLock<&'static str>, AtomicU64); CODES]);

impl Default for Errors {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Default::default()))
    }
}

impl Errors {
    fn count(&self, code: &'static str) {
        let known = self
            .0
            .iter()
            .find(|(own, _)| *own.get_or_init(|| code) == code);
        if let Some((_, count)) = known {
            add(count, 1);
        }
    }
}

/// It can't wrap: of one request no more tokens are believed than 2^24.
fn add(to: &AtomicU64, count: u64) {
    if count > 0 {
        to.fetch_add(count, Ordering::Relaxed);
    }
}

/// A view that shows too little is better than one that panics.
fn add_up(sum: &mut u64, count: u64) {
    *sum = sum.saturating_add(count);
}

fn get(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

impl Tokens {
    fn count(&self, tokens: u64, is_exact: bool) {
        add(
            if is_exact {
                &self.exact
            } else {
                &self.estimated
            },
            tokens,
        );
    }

    fn add_to(&self, sum: &mut TokenSums) {
        add_up(&mut sum.exact, get(&self.exact));
        add_up(&mut sum.estimated, get(&self.estimated));
    }
}

impl Figures {
    pub(super) fn count(&self, end: &EndFacts<'_>) {
        add(&self.requests, 1);
        if let Some(code) = end.error_code() {
            self.errors.get_or_init(Default::default).count(code);
        }
        if !end.is_answered() {
            return;
        }
        let times = end.times();
        for (time, histogram) in [
            (times.to_head, &self.to_head),
            (times.to_first_content, &self.to_first_token),
        ] {
            if let Some(time) = time {
                histogram.get_or_init(Default::default).record(time);
            }
        }
        let input = end.input_tokens().unwrap_or_default();
        self.input.count(input, end.is_exact());
        self.output.count(end.output_tokens(), end.is_exact());
    }
}

/// The sum of the [`Figures`] of several slots.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) requests: u64,
    pub(super) to_head: Counted,
    pub(super) to_first_token: Counted,
    pub(super) input: TokenSums,
    pub(super) output: TokenSums,
    pub(super) errors: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Default)]
pub(super) struct TokenSums {
    pub(super) exact: u64,
    pub(super) estimated: u64,
}

impl Sums {
    pub(super) fn add(&mut self, figures: &Figures) {
        add_up(&mut self.requests, get(&figures.requests));
        for (sum, histogram) in [
            (&mut self.to_head, &figures.to_head),
            (&mut self.to_first_token, &figures.to_first_token),
        ] {
            if let Some(histogram) = histogram.get() {
                sum.add(histogram);
            }
        }
        figures.input.add_to(&mut self.input);
        figures.output.add_to(&mut self.output);
        let errors = figures.errors.get().map_or(&[][..], |errors| &errors.0);
        for (code, count) in errors {
            if let Some(code) = code.get() {
                add_up(self.errors.entry(code).or_default(), get(count));
            }
        }
    }
}

/// What a limit has said.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    allowed: AtomicU64,
    refused: AtomicU64,
    observed: AtomicU64,
}

impl Verdicts {
    pub(super) fn count(&self, verdict: LimitVerdict) {
        let count = match verdict {
            LimitVerdict::Allowed => &self.allowed,
            LimitVerdict::Refused => &self.refused,
            LimitVerdict::Observed => &self.observed,
        };
        add(count, 1);
    }
}

/// The sum of the [`Verdicts`] of several slots.
#[derive(Debug, Default)]
pub(super) struct VerdictSums {
    pub(super) allowed: u64,
    pub(super) refused: u64,
    pub(super) observed: u64,
}

impl VerdictSums {
    pub(super) fn add(&mut self, verdicts: &Verdicts) {
        add_up(&mut self.allowed, get(&verdicts.allowed));
        add_up(&mut self.refused, get(&verdicts.refused));
        add_up(&mut self.observed, get(&verdicts.observed));
    }

    pub(super) fn is_empty(&self) -> bool {
        (self.allowed, self.refused, self.observed) == (0, 0, 0)
    }
}
