//! The health of an endpoint, judged by its answers and shared by all requests.
//!
//! The two flags are only stored while the lock of `record` is held; they are
//! read without the lock.

use std::{
    fmt,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{config::OutlierDetection, pieces::lock};

/// How long a failure counts as load.
const BURDENED: Duration = Duration::from_secs(1);
/// The load of each failure in a row, in requests in flight.
const BURDEN: usize = 16;
/// How long an endpoint that is out is left alone where nothing is healthy.
const SPARED: Duration = Duration::from_secs(1);
/// The longest ejection of an endpoint that refuses connections: asking it costs nothing.
const MAX_REFUSED: Duration = Duration::from_secs(30);
/// The longest ejection where no more endpoints may be ejected.
const MAX_ABOVE_LIMIT: Duration = Duration::from_secs(1);
/// How long connections may be lost unanswered, one after the other, before
/// that counts as a failure: idle connections that an engine has closed are
/// used up by then.
const STALE: Duration = Duration::from_secs(10);
/// Endpoints that began to fail at most this long before another come back with it.
const SAME_OUTAGE: Duration = Duration::from_secs(30);
/// How many request bodies that were answered with 500 are remembered.
const BODIES: usize = 64;

/// The health of one endpoint.
///
/// For a healthy endpoint a request reads one flag; the clock and the lock are
/// only touched for the others.
#[derive(Debug)]
pub(crate) struct Health {
    is_healthy: AtomicBool,
    /// Whether nothing has gone wrong since the last success.
    is_spotless: AtomicBool,
    /// The number of answers that have come to their end; it wraps.
    completed: AtomicU32,
    record: Mutex<Record>,
}

#[derive(Clone, Debug, Default)]
struct Record {
    /// Failures in a row.
    failures: u32,
    last_failure: Option<Instant>,
    ejection: Option<Ejection>,
    /// When the pause ends that its own `Retry-After` asked for.
    cooling_until: Option<Instant>,
    /// The health checks that fail, by their number.
    failed_checks: Vec<usize>,
    /// When it last got a request although it was out.
    last_resort: Option<Instant>,
    /// Since when connections to it are lost unanswered.
    losing_since: Option<Instant>,
    /// The fingerprints of the bodies that it answered with 500 since its last success.
    bodies: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Ejection {
    /// The first of those in a row.
    since: Instant,
    until: Instant,
    time: Duration,
    /// Whether it counts towards the maximum of ejected endpoints.
    within_limit: bool,
    /// Whether the endpoint refused the connection.
    refused: bool,
    /// Whether a trial request is in flight that decides about the return.
    on_trial: bool,
}

/// An ejection to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict<'a> {
    pub(super) detection: &'a OutlierDetection,
    pub(super) within_limit: bool,
    pub(super) refused: bool,
}

/// Whether an endpoint gets requests.
///
/// The names are the same in code, in JSON and in the admin view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointHealth {
    /// It gets requests.
    Healthy,
    /// Its ejection has ended, and one request decides whether it is back.
    HalfOpen,
    /// It asked for a pause (`Retry-After`).
    Cooling,
    /// It failed too often in a row.
    Ejected,
    /// It failed too often in a row, but no more endpoints may be ejected: it
    /// gets one request a second.
    Failing,
    /// Its [`HealthCheck`](crate::HealthCheck) fails.
    Unhealthy,
}

impl EndpointHealth {
    /// The name, in lower case: `healthy`, `half-open`, `cooling`, `ejected`,
    /// `failing`, `unhealthy`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::HalfOpen => "half-open",
            Self::Cooling => "cooling",
            Self::Ejected => "ejected",
            Self::Failing => "failing",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl fmt::Display for EndpointHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An [`EndpointHealth`], and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HealthState {
    Healthy,
    /// Its ejection has ended: one request may try it.
    HalfOpen,
    /// Its ejection has ended, and a trial request is in flight.
    Tried,
    Cooling(Instant),
    Ejected(Instant),
    /// As ejected, beyond the maximum.
    Failing(Instant),
    /// Its health check fails.
    Unhealthy,
}

impl HealthState {
    /// Whether the endpoint gets requests only where nothing is healthy.
    pub(crate) fn is_out(self) -> bool {
        !matches!(self, Self::Healthy | Self::HalfOpen)
    }

    /// When this will change by itself.
    pub(super) fn until(self) -> Option<Instant> {
        match self {
            Self::Cooling(until) | Self::Ejected(until) | Self::Failing(until) => Some(until),
            Self::Healthy | Self::HalfOpen | Self::Tried | Self::Unhealthy => None,
        }
    }
}

impl From<HealthState> for EndpointHealth {
    fn from(state: HealthState) -> Self {
        match state {
            HealthState::Healthy => Self::Healthy,
            HealthState::HalfOpen | HealthState::Tried => Self::HalfOpen,
            HealthState::Cooling(_) => Self::Cooling,
            HealthState::Ejected(_) => Self::Ejected,
            HealthState::Failing(_) => Self::Failing,
            HealthState::Unhealthy => Self::Unhealthy,
        }
    }
}

/// The order in which endpoints that are out are used, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Resort {
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

impl Default for Health {
    fn default() -> Self {
        Self {
            is_healthy: AtomicBool::new(true),
            is_spotless: AtomicBool::new(true),
            completed: AtomicU32::new(0),
            record: Mutex::default(),
        }
    }
}

impl Health {
    pub(crate) fn state(&self) -> HealthState {
        if self.is_healthy.load(Ordering::Relaxed) {
            return HealthState::Healthy;
        }
        let now = Instant::now();
        self.change(|record| record.state(now))
    }

    /// Its place among the endpoints that are out.
    pub(super) fn resort(&self) -> Resort {
        let now = Instant::now();
        let record = self.record();
        let last = record.last_resort;
        let is_spared = last.is_none_or(|last| now.saturating_duration_since(last) >= SPARED);
        match record.state(now) {
            HealthState::Healthy | HealthState::HalfOpen => Resort::Usable,
            HealthState::Cooling(until) => Resort::Cooling(until),
            HealthState::Unhealthy => Resort::Unhealthy(last),
            _ if is_spared => Resort::Spared(last),
            _ => Resort::Tried(last),
        }
    }

    /// Records that it gets a request although it is out.
    pub(super) fn begin_last_resort(&self) {
        self.record().last_resort = Some(Instant::now());
    }

    /// Takes the trial, if it is free: only one request can hold it at a time.
    pub(super) fn begin_trial(&self) -> bool {
        match &mut self.record().ejection {
            Some(ejection) if ejection.is_over(Instant::now()) => {
                ejection.on_trial = true;
                true
            }
            _ => false,
        }
    }

    /// The trial ended without a verdict.
    pub(super) fn end_trial(&self) {
        if let Some(ejection) = &mut self.record().ejection {
            ejection.on_trial = false;
        }
    }

    /// The load, in requests in flight, that its recent failures count as: what
    /// fails at once is never in flight, and must not look idle for it.
    pub(crate) fn burden(&self) -> usize {
        if self.is_spotless.load(Ordering::Relaxed) {
            return 0;
        }
        let record = self.record();
        let is_recent = record
            .last_failure
            .is_some_and(|at| at.elapsed() < BURDENED);
        if is_recent {
            BURDEN * record.failures.clamp(1, 1 << 16) as usize
        } else {
            0
        }
    }

    /// Records a success.
    pub(super) fn succeeded(&self) -> Recovery {
        if self.is_spotless.load(Ordering::Relaxed) {
            return Recovery::default();
        }
        self.change(|record| {
            let ejection = record.ejection.take();
            record.losing_since = None;
            record.bodies.clear();
            record.last_failure = None;
            Recovery {
                failures: std::mem::take(&mut record.failures),
                completed: self.completed.load(Ordering::Relaxed),
                ejected_since: ejection.map(|ejection| ejection.since),
            }
        })
    }

    /// An answer has come to its end.
    pub(super) fn completed(&self) {
        self.completed.fetch_add(1, Ordering::Relaxed);
    }

    /// Records a failure, in addition to those that the same request's success
    /// had ended, unless another answer has been completed since. Returns the
    /// failures in a row, before and now.
    pub(super) fn failed(&self, recovery: Recovery) -> (u32, u32) {
        let is_valid = recovery.completed == self.completed.load(Ordering::Relaxed);
        let restored = if is_valid { recovery.failures } else { 0 };
        self.change(|record| {
            let before = record.failures;
            record.failures = before.saturating_add(restored).saturating_add(1);
            record.last_failure = Some(Instant::now());
            (before, record.failures)
        })
    }

    /// Whether a 500 for a body with this fingerprint is the first one since the last success.
    pub(super) fn is_new_body(&self, fingerprint: u64) -> bool {
        self.change(|record| {
            let is_new = !record.bodies.contains(&fingerprint);
            if is_new && record.bodies.len() < BODIES {
                record.bodies.push(fingerprint);
            }
            is_new
        })
    }

    /// A connection was lost before a byte of the answer. Returns whether that
    /// has gone on for so long that it is no idle connection any more.
    pub(super) fn lost(&self) -> bool {
        self.change(|record| {
            let now = Instant::now();
            record.last_failure = Some(now);
            let since = *record.losing_since.get_or_insert(now);
            now.saturating_duration_since(since) >= STALE
        })
    }

    /// Ejects the endpoint, or ejects it again for twice as long; returns for how long.
    pub(super) fn eject(&self, verdict: Verdict<'_>) -> Duration {
        let Verdict {
            detection,
            within_limit,
            refused,
        } = verdict;
        self.change(|record| {
            let last = record
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
            record.last_resort = Some(now);
            record.ejection = Some(Ejection {
                since: record.ejection.map_or(now, |ejection| ejection.since),
                until: later(time),
                time,
                within_limit,
                refused,
                on_trial: false,
            });
            time
        })
    }

    /// Brings the endpoint back along with one that began to fail at `since`, if it
    /// began to fail in the same outage. Its next failure ejects it again.
    pub(super) fn come_back(&self, since: Instant) -> bool {
        self.change(|record| {
            let is_same = |ejection: &Ejection| {
                since.saturating_duration_since(ejection.since) <= SAME_OUTAGE
            };
            record
                .ejection
                .take_if(|ejection| is_same(ejection))
                .is_some()
        })
    }

    pub(crate) fn cool_down(&self, time: Duration) {
        self.change(|record| record.cooling_until = record.cooling_until.max(Some(later(time))));
    }

    /// The verdict of the health check with this number. A passed check ends the
    /// ejection of an endpoint that refused connections.
    pub(crate) fn checked(&self, check: usize, passed: bool) {
        self.change(|record| {
            record.failed_checks.retain(|&failed| failed != check);
            if !passed {
                record.failed_checks.push(check);
            } else if record.ejection.is_some_and(|ejection| ejection.refused) {
                record.ejection = None;
            }
        });
    }

    /// The health check with this number has ended, and says nothing any more.
    pub(crate) fn unchecked(&self, check: usize) {
        self.change(|record| record.failed_checks.retain(|&failed| failed != check));
    }

    /// Whether it counts towards the maximum of ejected endpoints.
    pub(super) fn is_ejected(&self) -> bool {
        let counts = |ejection: Ejection| ejection.within_limit;
        !self.is_healthy.load(Ordering::Relaxed) && self.record().ejection.is_some_and(counts)
    }

    /// Whether it is ejected, within the maximum or beyond.
    pub(super) fn is_out_for_failures(&self) -> bool {
        !self.is_healthy.load(Ordering::Relaxed) && self.record().ejection.is_some()
    }

    pub(crate) fn failures_in_a_row(&self) -> u32 {
        self.record().failures
    }

    pub(crate) fn ejected_until(&self) -> Option<Instant> {
        self.record().ejection.map(|ejection| ejection.until)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        let mut record = self.record();
        let result = change(&mut record);
        record.forget_past();
        let is_healthy = !record.is_out();
        self.is_healthy.store(is_healthy, Ordering::Relaxed);
        self.is_spotless
            .store(is_healthy && record.is_spotless(), Ordering::Relaxed);
        result
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }
}

/// What a success has ended; restored if its answer breaks off after all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recovery {
    failures: u32,
    completed: u32,
    /// When the ejection began that it ended.
    pub(super) ejected_since: Option<Instant>,
}

impl Record {
    fn state(&self, now: Instant) -> HealthState {
        let cooling = self.cooling_until.filter(|&until| now < until);
        match self.ejection {
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

    fn forget_past(&mut self) {
        let now = || Instant::now();
        self.cooling_until = self.cooling_until.filter(|&until| now() < until);
    }

    fn is_out(&self) -> bool {
        self.ejection.is_some() || self.cooling_until.is_some() || !self.failed_checks.is_empty()
    }

    fn is_spotless(&self) -> bool {
        self.failures == 0 && self.last_failure.is_none() && self.bodies.is_empty()
    }
}

impl Ejection {
    /// Whether a trial request may be sent to the endpoint.
    fn is_over(&self, now: Instant) -> bool {
        self.until <= now && !self.on_trial
    }
}

/// `time` from now, or a year from now if the clock can't represent that.
fn later(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time)
        .unwrap_or_else(|| now + Duration::from_secs(86400 * 365))
}
