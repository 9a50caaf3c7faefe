//! What has happened to an endpoint, and the state that results.

use std::time::Duration;

use tokio::time::Instant;

use super::state::HealthState;
use crate::{config::OutlierDetection, pieces::later};

/// How long a failure counts as load.
const BURDENED: Duration = Duration::from_secs(1);
/// The load of each failure in a row, in requests in flight.
const BURDEN: usize = 16;
/// The longest ejection of an endpoint that refuses connections: asking it costs nothing.
const MAX_REFUSED: Duration = Duration::from_secs(30);
/// The longest ejection where no more endpoints may be ejected.
const MAX_ABOVE_LIMIT: Duration = Duration::from_secs(1);
/// How long connections may be lost unanswered, one after the other, before
/// that counts as a failure: idle connections that an engine has closed are
/// used up by then.
const STALE: Duration = Duration::from_secs(10);
/// After this long without a loss, the next one counts as the first again.
const APART: Duration = Duration::from_secs(60);
/// How many request bodies that were answered with 500 are remembered.
const BODIES: usize = 64;

#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    /// Failures in a row.
    pub(super) failures: u32,
    pub(super) last_failure: Option<Instant>,
    pub(super) ejection: Option<Ejection>,
    /// When the pause ends that its own `Retry-After` asked for.
    cooling_until: Option<Instant>,
    /// The health checks that fail, by their number.
    failed_checks: Vec<usize>,
    /// Whether it is taken out of service.
    is_draining: bool,
    /// When it last got a request although it was out.
    pub(super) last_resort: Option<Instant>,
    /// The first and the last loss of those that follow each other unanswered.
    pub(super) losses: Option<(Instant, Instant)>,
    /// The fingerprints of the bodies that it answered with 500 since its last success.
    pub(super) bodies: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Ejection {
    /// The first of those in a row.
    pub(super) since: Instant,
    pub(super) until: Instant,
    time: Duration,
    /// Whether it counts towards the maximum of ejected endpoints.
    within_limit: bool,
    /// Whether the endpoint refused the connection.
    refused: bool,
    /// Whether a trial request is in flight that decides about the return.
    pub(super) on_trial: bool,
}

/// An ejection to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict<'a> {
    pub(crate) detection: &'a OutlierDetection,
    pub(crate) within_limit: bool,
    pub(crate) refused: bool,
}

impl Record {
    pub(super) fn state(&self, now: Instant) -> HealthState {
        let cooling = self.cooling_until.filter(|&until| now < until);
        match self.ejection {
            _ if self.is_draining => HealthState::Draining,
            _ if !self.failed_checks.is_empty() => HealthState::Unhealthy,
            None => cooling.map_or(HealthState::Healthy, HealthState::Cooling),
            Some(ejection) if ejection.on_trial => HealthState::Tried,
            Some(ejection) if ejection.is_over(now) && cooling.is_none() => HealthState::HalfOpen,
            Some(ejection) => {
                let until = cooling.map_or(ejection.until, |cooling| cooling.max(ejection.until));
                match ejection.within_limit {
                    true => HealthState::Ejected(until),
                    false => HealthState::Failing(until),
                }
            }
        }
    }

    pub(super) fn forget_past(&mut self) {
        let now = || Instant::now();
        self.cooling_until = self.cooling_until.filter(|&until| now() < until);
    }

    pub(super) fn is_out(&self) -> bool {
        self.is_away() || self.cooling_until.is_some()
    }

    /// Whether it is out for more than a pause that it asked for.
    pub(super) fn is_away(&self) -> bool {
        self.ejection.is_some() || !self.failed_checks.is_empty() || self.is_draining
    }

    pub(super) fn is_spotless(&self) -> bool {
        self.failures == 0 && self.last_failure.is_none() && self.bodies.is_empty()
    }

    pub(super) fn is_ejected_within_limit(&self) -> bool {
        self.ejection.is_some_and(|ejection| ejection.within_limit)
    }

    /// The load that its recent failures count as.
    pub(super) fn burden(&self) -> usize {
        let is_recent = self.last_failure.is_some_and(|at| at.elapsed() < BURDENED);
        match is_recent {
            true => BURDEN * self.failures.clamp(1, 1 << 16) as usize,
            false => 0,
        }
    }

    /// One more failure, besides those `restored`.
    pub(super) fn failed(&mut self, restored: u32) -> (u32, u32) {
        let before = self.failures;
        self.failures = before.saturating_add(restored).saturating_add(1);
        self.last_failure = Some(Instant::now());
        (before, self.failures)
    }

    pub(super) fn is_new_body(&mut self, fingerprint: u64) -> bool {
        let is_new = !self.bodies.contains(&fingerprint);
        if is_new && self.bodies.len() < BODIES {
            self.bodies.push(fingerprint);
        }
        is_new
    }

    pub(super) fn lost(&mut self) -> bool {
        let now = Instant::now();
        self.last_failure = Some(now);
        let last = self
            .losses
            .filter(|(_, last)| now.saturating_duration_since(*last) <= APART);
        let first = last.map_or(now, |(first, _)| first);
        self.losses = Some((first, now));
        now.saturating_duration_since(first) >= STALE
    }

    pub(super) fn eject(&mut self, verdict: Verdict<'_>) -> Duration {
        let Verdict {
            detection,
            within_limit,
            refused,
        } = verdict;
        let last = self
            .ejection
            .filter(|last| last.within_limit && within_limit);
        let time = match last {
            Some(last) => last.time.saturating_mul(2),
            None => detection.get_base_ejection_time(),
        };
        let mut time = time.min(detection.get_max_ejection_time());
        if refused {
            time = time.min(MAX_REFUSED);
        }
        if !within_limit {
            time = time.min(MAX_ABOVE_LIMIT);
        }
        let now = Instant::now();
        self.last_resort = Some(now);
        self.ejection = Some(Ejection {
            since: self.ejection.map_or(now, |ejection| ejection.since),
            until: later(Instant::now(), time),
            time,
            within_limit,
            refused,
            on_trial: false,
        });
        time
    }

    pub(super) fn cool_down(&mut self, time: Duration) {
        self.cooling_until = self.cooling_until.max(Some(later(Instant::now(), time)));
    }

    pub(super) fn checked(&mut self, check: usize, passed: bool) {
        self.unchecked(check);
        if !passed {
            self.failed_checks.push(check);
        } else if self.ejection.is_some_and(|ejection| ejection.refused) {
            self.ejection = None;
        }
    }

    /// Returns whether that is new.
    pub(super) fn set_draining(&mut self, is_draining: bool) -> bool {
        std::mem::replace(&mut self.is_draining, is_draining) != is_draining
    }

    pub(super) fn unchecked(&mut self, check: usize) {
        self.failed_checks.retain(|&failed| failed != check);
    }
}

impl Ejection {
    /// Whether a trial request may be sent to the endpoint.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until <= now && !self.on_trial
    }
}
