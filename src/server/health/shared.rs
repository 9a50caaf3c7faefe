//! The health as all requests share it.
//!
//! The two flags are only stored while the lock of `record` is held; they are
//! read without the lock.

use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    fresh::Fresh,
    record::{Record, Verdict},
    recovery::{Recovery, Resort},
    state::HealthState,
};
use crate::pieces::lock;

/// The health of one endpoint.
///
/// For a healthy endpoint a request reads one flag; the clock and the lock are
/// only touched for the others.
#[derive(Debug)]
pub(crate) struct Health {
    is_healthy: AtomicBool,
    /// Whether nothing has gone wrong since the last success.
    is_spotless: AtomicBool,
    /// Whether the next answer that comes to its end counts: a success has ended failures, which
    /// come back if its answer breaks off. Without it each request would take an atomic step more.
    awaits_completion: AtomicBool,
    /// The number of those that counted; it wraps.
    completed: AtomicU32,
    /// When it last was new or came back.
    fresh: Fresh,
    record: Mutex<Record>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            is_healthy: AtomicBool::new(true),
            is_spotless: AtomicBool::new(true),
            awaits_completion: AtomicBool::new(false),
            completed: AtomicU32::new(0),
            fresh: Fresh::default(),
            record: Mutex::default(),
        }
    }
}

impl Health {
    #[inline]
    pub(crate) fn state(&self) -> HealthState {
        match self.is_healthy.load(Ordering::Relaxed) {
            true => HealthState::Healthy,
            false => self.state_by_record(),
        }
    }

    #[cold]
    fn state_by_record(&self) -> HealthState {
        let now = Instant::now();
        self.change(|record| record.state(now))
    }

    /// It is new in a table that is in use.
    pub(crate) fn is_new(&self) {
        self.fresh.begin();
    }

    /// How much of its weight it gets where a slow start takes this long, which is more than zero.
    pub(crate) fn share(&self, slow_start: Duration) -> f64 {
        self.fresh.share(slow_start)
    }

    /// Its place among the endpoints that are out.
    pub(crate) fn resort(&self) -> Resort {
        self.record().resort(Instant::now())
    }

    /// Records that it gets a request although it is out.
    pub(crate) fn begin_last_resort(&self) {
        self.record().last_resort = Some(Instant::now());
    }

    /// Takes the trial, if it is free: only one request can hold it at a time.
    pub(crate) fn begin_trial(&self) -> bool {
        self.record().begin_trial(Instant::now())
    }

    /// The trial ended without a verdict.
    pub(crate) fn end_trial(&self) {
        self.record().end_trial();
    }

    /// The load, in requests in flight, that its recent failures count as: what
    /// fails at once is never in flight, and must not look idle for it.
    #[inline]
    pub(crate) fn burden(&self) -> usize {
        match self.is_spotless.load(Ordering::Relaxed) {
            true => 0,
            false => self.burden_by_record(),
        }
    }

    #[cold]
    fn burden_by_record(&self) -> usize {
        self.record().burden()
    }

    /// Records a success.
    pub(crate) fn succeeded(&self) -> Recovery {
        if self.is_spotless.load(Ordering::Relaxed) {
            return Recovery::default();
        }
        let completed = self.completed.load(Ordering::Relaxed);
        self.awaits_completion.store(true, Ordering::Relaxed);
        self.change(|record| record.recover(completed))
    }

    /// An answer has come to its end.
    pub(crate) fn completed(&self) {
        let relaxed = Ordering::Relaxed;
        if self.awaits_completion.load(relaxed) && self.awaits_completion.swap(false, relaxed) {
            self.completed.fetch_add(1, relaxed);
        }
    }

    /// Records a failure, in addition to those that the same request's success
    /// had ended, unless another answer has been completed since. Returns the
    /// failures in a row, before and now.
    pub(crate) fn failed(&self, recovery: Recovery) -> (u32, u32) {
        let restored = recovery.restored(self.completed.load(Ordering::Relaxed));
        self.change(|record| record.failed(restored))
    }

    /// Whether a 500 for a body with this fingerprint is the first one since the last success.
    pub(crate) fn is_new_body(&self, fingerprint: u64) -> bool {
        self.change(|record| record.is_new_body(fingerprint))
    }

    /// A connection was lost before a byte of the answer. Returns whether that
    /// has gone on for so long that it can't be idle connections any more.
    pub(crate) fn lost(&self) -> bool {
        self.change(Record::lost)
    }

    /// Ejects the endpoint, or ejects it again for twice as long; returns for how long.
    pub(crate) fn eject(&self, verdict: Verdict<'_>) -> Duration {
        self.change(|record| record.eject(verdict))
    }

    /// Brings the endpoint back along with one that began to fail at `since`, if it
    /// began to fail in the same outage. Its next failure ejects it again.
    pub(crate) fn come_back(&self, since: Instant) -> bool {
        self.change(|record| record.come_back(since))
    }

    pub(crate) fn cool_down(&self, time: Duration) {
        self.change(|record| record.cool_down(time));
    }

    /// The verdict of the health check with this number. A passed check ends the
    /// ejection of an endpoint that refused connections.
    pub(crate) fn checked(&self, check: usize, passed: bool) {
        self.change(|record| record.checked(check, passed));
    }

    /// The health check with this number has ended, and says nothing any more.
    pub(crate) fn unchecked(&self, check: usize) {
        self.change(|record| record.unchecked(check));
    }

    /// Takes the endpoint out of service, or puts it back; returns whether that is new.
    pub(crate) fn set_draining(&self, is_draining: bool) -> bool {
        self.change(|record| record.set_draining(is_draining))
    }

    /// Whether it is taken out of service.
    pub(crate) fn is_draining(&self) -> bool {
        self.state() == HealthState::Draining
    }

    /// Whether it counts towards the maximum of ejected endpoints.
    pub(crate) fn is_ejected(&self) -> bool {
        !self.is_healthy.load(Ordering::Relaxed) && self.record().is_ejected_within_limit()
    }

    /// Whether it is ejected, within the maximum or beyond.
    pub(crate) fn is_out_for_failures(&self) -> bool {
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
        let was_away = record.is_away();
        let result = change(&mut record);
        if was_away && !record.is_away() {
            self.fresh.begin();
        }
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
