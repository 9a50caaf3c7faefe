//! The health of an endpoint, judged by its answers and shared by all requests.
//!
//! `is_healthy` is only stored while the lock of `record` is held; it is read
//! without the lock.

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

/// The health of one endpoint.
///
/// For a healthy endpoint a request reads one flag; the clock and the lock are
/// only touched for the others.
#[derive(Debug)]
pub(crate) struct Health {
    is_healthy: AtomicBool,
    /// Failures in a row.
    failures: AtomicU32,
    record: Mutex<Record>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    ejection: Option<Ejection>,
    /// When the pause ends that its own `Retry-After` asked for.
    cooling_until: Option<Instant>,
    /// Whether the last health check failed.
    failed_check: bool,
}

#[derive(Clone, Copy, Debug)]
struct Ejection {
    until: Instant,
    time: Duration,
    /// Whether a trial request is in flight that decides about the return.
    on_trial: bool,
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
    /// Its [`HealthCheck`](crate::HealthCheck) fails.
    Unhealthy,
}

impl EndpointHealth {
    /// The name, in lower case: `healthy`, `half-open`, `cooling`, `ejected`, `unhealthy`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::HalfOpen => "half-open",
            Self::Cooling => "cooling",
            Self::Ejected => "ejected",
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
    Tried(Instant),
    Cooling(Instant),
    Ejected(Instant),
    /// Its health check fails.
    Unhealthy,
}

impl HealthState {
    /// Whether the endpoint gets requests only as a last resort.
    pub(crate) fn is_out(self) -> bool {
        !matches!(self, Self::Healthy | Self::HalfOpen)
    }

    /// The order of last resorts, from best to worst.
    pub(crate) fn rank(self) -> (u8, Option<Instant>) {
        match self {
            Self::Healthy => (0, None),
            Self::HalfOpen => (1, None),
            Self::Tried(until) | Self::Cooling(until) | Self::Ejected(until) => (2, Some(until)),
            Self::Unhealthy => (3, None),
        }
    }
}

impl From<HealthState> for EndpointHealth {
    fn from(state: HealthState) -> Self {
        match state {
            HealthState::Healthy => Self::Healthy,
            HealthState::HalfOpen | HealthState::Tried(_) => Self::HalfOpen,
            HealthState::Cooling(_) => Self::Cooling,
            HealthState::Ejected(_) => Self::Ejected,
            HealthState::Unhealthy => Self::Unhealthy,
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            is_healthy: AtomicBool::new(true),
            failures: AtomicU32::new(0),
            record: Mutex::default(),
        }
    }
}

impl Health {
    pub(crate) fn state(&self) -> HealthState {
        if self.is_healthy.load(Ordering::Relaxed) {
            return HealthState::Healthy;
        }
        let mut record = self.record();
        let now = Instant::now();
        self.forget_past(&mut record, now);
        let Record {
            ejection,
            cooling_until,
            failed_check,
        } = *record;
        match (ejection, cooling_until) {
            _ if failed_check => HealthState::Unhealthy,
            (None, None) => HealthState::Healthy,
            (None, Some(until)) => HealthState::Cooling(until),
            (Some(ejection), None) if ejection.is_over(now) => HealthState::HalfOpen,
            (Some(ejection), cooling) => {
                let until = cooling.map_or(ejection.until, |cooling| cooling.max(ejection.until));
                match ejection.on_trial {
                    true => HealthState::Tried(until),
                    false => HealthState::Ejected(until),
                }
            }
        }
    }

    /// Takes the trial, if it is free: only one request can hold it at a time.
    pub(crate) fn begin_trial(&self) -> bool {
        let mut record = self.record();
        match &mut record.ejection {
            Some(ejection) if ejection.is_over(Instant::now()) => {
                ejection.on_trial = true;
                true
            }
            _ => false,
        }
    }

    /// The trial ended without a verdict.
    pub(crate) fn end_trial(&self) {
        if let Some(ejection) = &mut self.record().ejection {
            ejection.on_trial = false;
        }
    }

    /// Records a success; returns the number of failures in a row that it ends.
    pub(crate) fn succeeded(&self, on_trial: bool) -> u32 {
        let ended = match self.failures.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.failures.swap(0, Ordering::Relaxed),
        };
        if on_trial {
            self.change(|record| record.ejection = None);
        }
        ended
    }

    /// Records one failure in addition to those `before`; returns whether the
    /// endpoint has now failed often enough to be ejected.
    pub(crate) fn failed(&self, detection: &OutlierDetection, before: u32) -> bool {
        let more = before.saturating_add(1);
        let failures = self.failures.fetch_add(more, Ordering::Relaxed);
        failures.saturating_add(more) >= detection.get_consecutive_failures()
    }

    /// Ejects the endpoint, or ejects it again for twice as long; returns for how long.
    pub(crate) fn eject(&self, detection: &OutlierDetection) -> Duration {
        self.change(|record| {
            let time = match record.ejection {
                Some(ejection) => ejection.time.saturating_mul(2),
                None => detection.get_base_ejection_time(),
            };
            let time = time.min(detection.get_max_ejection_time());
            record.ejection = Some(Ejection {
                until: later(time),
                time,
                on_trial: false,
            });
            time
        })
    }

    pub(crate) fn cool_down(&self, time: Duration) {
        self.change(|record| record.cooling_until = record.cooling_until.max(Some(later(time))));
    }

    pub(crate) fn checked(&self, passed: bool) {
        self.change(|record| record.failed_check = !passed);
    }

    pub(crate) fn is_ejected(&self) -> bool {
        !self.is_healthy.load(Ordering::Relaxed) && self.record().ejection.is_some()
    }

    pub(crate) fn failures_in_a_row(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(crate) fn ejected_until(&self) -> Option<Instant> {
        self.record().ejection.map(|ejection| ejection.until)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        let mut record = self.record();
        let result = change(&mut record);
        self.forget_past(&mut record, Instant::now());
        result
    }

    fn forget_past(&self, record: &mut Record, now: Instant) {
        record.cooling_until = record.cooling_until.filter(|&until| now < until);
        let is_out =
            record.ejection.is_some() || record.cooling_until.is_some() || record.failed_check;
        self.is_healthy.store(!is_out, Ordering::Relaxed);
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
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
