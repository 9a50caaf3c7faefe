//! What was collected last, so that the next collection records what is new and what is
//! gone.

use std::{
    collections::{HashMap, HashSet},
    mem,
};

use super::series::{Labels, counter, gauge};

type Series = (&'static str, Labels);

/// What a collection tells, and what the one before it has told.
#[derive(Default)]
pub(super) struct Collected {
    gauges: HashSet<Series>,
    gauges_before: HashSet<Series>,
    counts: HashMap<Series, u64>,
    counts_before: HashMap<Series, u64>,
}

impl Collected {
    pub(super) fn begin(&mut self) {
        self.gauges_before = mem::take(&mut self.gauges);
        self.counts_before = mem::take(&mut self.counts);
    }

    pub(super) fn set(&mut self, name: &'static str, labels: Labels, value: f64) {
        gauge(name, labels.clone()).set(value);
        self.gauges.insert((name, labels));
    }

    /// What counts begins again at 0 when it is made anew: then all of it is new.
    pub(super) fn count(&mut self, name: &'static str, labels: Labels, count: u64) {
        let series = (name, labels.clone());
        let last = self.counts_before.get(&series).copied();
        let known = last.filter(|&last| last <= count).unwrap_or_default();
        counter(name, labels).increment(count - known);
        self.counts.insert(series, count);
    }

    /// Sets to 0 what was not set this time.
    pub(super) fn end(&mut self) {
        for (name, labels) in self.gauges_before.difference(&self.gauges) {
            gauge(name, labels.clone()).set(0.0);
        }
    }
}
