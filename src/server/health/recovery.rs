//! How an endpoint that is out comes back: by a trial, as a last resort, along with another.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    record::{Ejection, Record},
    state::HealthState,
};

/// How long an endpoint that is out is left alone where nothing is healthy.
const SPARED: Duration = Duration::from_secs(1);
/// Endpoints that began to fail at most this long before another come back with it.
const SAME_OUTAGE: Duration = Duration::from_secs(30);

/// What a success has ended; restored if its answer breaks off after all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Recovery {
    failures: u32,
    completed: u32,
    /// When the ejection began that it ended.
    pub(crate) ejected_since: Option<Instant>,
}

impl Recovery {
    /// The failures that it had ended, unless another answer has been `completed` since.
    pub(super) fn restored(self, completed: u32) -> u32 {
        match self.completed == completed {
            true => self.failures,
            false => 0,
        }
    }
}

/// The order in which endpoints that are out are used, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Resort {
    /// It is usable after all.
    Usable,
    /// It has been spared for a while, and may be back: the longest spared first.
    Spared(Option<Instant>),
    /// It answers, but has asked for a pause: the one whose pause ends first.
    Cooling(Instant),
    /// It has just been tried: the longest ago first.
    Tried(Option<Instant>),
    Unhealthy(Option<Instant>),
}

impl Record {
    pub(super) fn resort(&self, now: Instant) -> Resort {
        let last = self.last_resort;
        let is_spared = last.is_none_or(|last| now.saturating_duration_since(last) >= SPARED);
        match self.state(now) {
            HealthState::Healthy | HealthState::HalfOpen => Resort::Usable,
            HealthState::Cooling(until) => Resort::Cooling(until),
            HealthState::Unhealthy | HealthState::Draining => Resort::Unhealthy(last),
            _ if is_spared => Resort::Spared(last),
            _ => Resort::Tried(last),
        }
    }

    pub(super) fn begin_trial(&mut self, now: Instant) -> bool {
        match &mut self.ejection {
            Some(ejection) if ejection.is_over(now) => {
                ejection.on_trial = true;
                true
            }
            _ => false,
        }
    }

    pub(super) fn end_trial(&mut self) {
        if let Some(ejection) = &mut self.ejection {
            ejection.on_trial = false;
        }
    }

    /// A success; `completed` is the number of answers that have come to their end.
    pub(super) fn recover(&mut self, completed: u32) -> Recovery {
        let ejection = self.ejection.take();
        self.losses = None;
        self.bodies.clear();
        self.last_failure = None;
        Recovery {
            failures: std::mem::take(&mut self.failures),
            completed,
            ejected_since: ejection.map(|ejection| ejection.since),
        }
    }

    pub(super) fn come_back(&mut self, since: Instant) -> bool {
        let is_same = |ejection: &mut Ejection| {
            since.saturating_duration_since(ejection.since) <= SAME_OUTAGE
        };
        self.ejection.take_if(is_same).is_some()
    }
}
