//! Whether an endpoint can be counted on: what its answers say, shared by all requests.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::config::OutlierDetection;

/// What is known of one endpoint.
///
/// Of a sound one a request reads one flag. The clock and the lock are only
/// touched for those that are not.
#[derive(Debug, Default)]
pub(crate) struct Health {
    is_unsound: AtomicBool,
    /// Failures in a row.
    failures: AtomicU32,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    ejection: Option<Ejection>,
    /// Until when its own `Retry-After` asks not to be sent anything.
    cooling_until: Option<Instant>,
    /// What the health check says.
    failed_check: bool,
}

#[derive(Clone, Copy, Debug)]
struct Ejection {
    until: Instant,
    time: Duration,
    /// Whether a request is under way that decides about the return.
    on_trial: bool,
}

/// Whether an endpoint may be sent a request; the better the less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Sound,
    /// Its ejection has ended: one request may try it.
    OnTrial,
    /// It asks to be left alone until then.
    Until(Instant),
    /// Its health check fails.
    Down,
}

impl Standing {
    /// Whether it is sent requests only where there is nothing better.
    pub(crate) fn is_out(self) -> bool {
        matches!(self, Self::Until(_) | Self::Down)
    }
}

impl Health {
    pub(crate) fn standing(&self) -> Standing {
        if !self.is_unsound.load(Ordering::Relaxed) {
            return Standing::Sound;
        }
        let mut state = self.state();
        let now = Instant::now();
        self.forget_past(&mut state, now);
        if state.failed_check {
            return Standing::Down;
        }
        let ejection = state.ejection;
        if state.cooling_until.is_none() && ejection.is_some_and(|e| e.is_over(now)) {
            return Standing::OnTrial;
        }
        let until = state
            .cooling_until
            .max(ejection.map(|ejection| ejection.until));
        until.map_or(Standing::Sound, Standing::Until)
    }

    /// Takes the trial, which only one request can have at a time.
    pub(crate) fn begin_trial(&self) -> bool {
        let mut state = self.state();
        match &mut state.ejection {
            Some(ejection) if ejection.is_over(Instant::now()) => {
                ejection.on_trial = true;
                true
            }
            _ => false,
        }
    }

    /// The trial ended without a verdict.
    pub(crate) fn end_trial(&self) {
        if let Some(ejection) = &mut self.state().ejection {
            ejection.on_trial = false;
        }
    }

    /// It has answered; how many failures in a row that ends.
    pub(crate) fn succeeded(&self, on_trial: bool) -> u32 {
        let ended = match self.failures.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.failures.swap(0, Ordering::Relaxed),
        };
        if on_trial {
            self.change(|state| state.ejection = None);
        }
        ended
    }

    /// It has failed once more than those `before`; true where that was once too often.
    pub(crate) fn failed(&self, detection: &OutlierDetection, before: u32) -> bool {
        let more = before.saturating_add(1);
        let failures = self.failures.fetch_add(more, Ordering::Relaxed);
        failures.saturating_add(more) >= detection.get_consecutive_failures()
    }

    /// Ejects it for the first time, or again after a trial for twice as long.
    pub(crate) fn eject(&self, detection: &OutlierDetection) -> Duration {
        self.change(|state| {
            let time = match state.ejection {
                Some(ejection) => ejection.time.saturating_mul(2),
                None => detection.get_base_ejection_time(),
            };
            let time = time.min(detection.get_max_ejection_time());
            state.ejection = Some(Ejection {
                until: later(time),
                time,
                on_trial: false,
            });
            time
        })
    }

    pub(crate) fn cool_down(&self, time: Duration) {
        self.change(|state| state.cooling_until = state.cooling_until.max(Some(later(time))));
    }

    pub(crate) fn checked(&self, passed: bool) {
        self.change(|state| state.failed_check = !passed);
    }

    pub(crate) fn is_ejected(&self) -> bool {
        self.is_unsound.load(Ordering::Relaxed) && self.state().ejection.is_some()
    }

    pub(crate) fn is_on_trial(&self) -> bool {
        self.state()
            .ejection
            .is_some_and(|ejection| ejection.on_trial)
    }

    pub(crate) fn failures_in_a_row(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(crate) fn ejected_until(&self) -> Option<Instant> {
        self.state().ejection.map(|ejection| ejection.until)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let result = change(&mut state);
        self.forget_past(&mut state, Instant::now());
        result
    }

    fn forget_past(&self, state: &mut State, now: Instant) {
        state.cooling_until = state.cooling_until.filter(|&until| now < until);
        let is_unsound =
            state.ejection.is_some() || state.cooling_until.is_some() || state.failed_check;
        self.is_unsound.store(is_unsound, Ordering::Relaxed);
    }

    /// A panic elsewhere leaves nothing half done that matters here.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ejection {
    /// Whether a request may try the endpoint.
    fn is_over(&self, now: Instant) -> bool {
        self.until <= now && !self.on_trial
    }
}

/// `time` from now, or as late as the clock can say.
fn later(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time)
        .unwrap_or_else(|| now + Duration::from_secs(86400 * 365))
}
