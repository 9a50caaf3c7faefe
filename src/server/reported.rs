//! What is known about an endpoint's load beyond the gateway's own requests: reports by the
//! endpoint or by something that watches it.

use std::{
    array,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::pieces::lock;

/// How long a report counts: an engine's load changes with each of its steps.
pub(crate) const FRESH: Duration = Duration::from_secs(2);
/// How often an endpoint is asked in its requests, at most.
const ASKED: Duration = Duration::from_secs(1);
/// More requests than an engine can have: a number above is a mistake, or malice.
const MAX_REQUESTS: u64 = 1_000_000;
/// From here on the KV cache is as good as full: what runs is preempted, and what waits goes on
/// waiting.
const FULL: f64 = 0.95;

/// An engine's load at one moment; values that are not known are left out.
///
/// ```
/// use tower_model_route::LoadReport;
///
/// let report = LoadReport::new().running(8).waiting(3).kv_cache_use(0.7);
/// assert_eq!(report.get_waiting(), Some(3)); // That is not a share.
/// assert_eq!(report.kv_cache_use(70.0).get_kv_cache_use(), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[must_use]
pub struct LoadReport {
    running: Option<u64>,
    waiting: Option<u64>,
    kv_cache_use: Option<f64>,
}

impl LoadReport {
    /// A report that says nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The running requests, those of others included. A number above a million is ignored.
    pub fn running(mut self, requests: u64) -> Self {
        self.running = Some(requests).filter(|requests| *requests <= MAX_REQUESTS);
        self
    }

    /// The requests that wait in its queue, those of others included. A number above a million is
    /// ignored.
    pub fn waiting(mut self, requests: u64) -> Self {
        self.waiting = Some(requests).filter(|requests| *requests <= MAX_REQUESTS);
        self
    }

    /// How much of its KV cache is in use, from 0 to 1; anything else is ignored.
    pub fn kv_cache_use(mut self, share: f64) -> Self {
        self.kv_cache_use = Some(share).filter(|share| (0.0..=1.0).contains(share));
        self
    }

    /// The running requests, if reported.
    pub fn get_running(&self) -> Option<u64> {
        self.running
    }

    /// The requests that wait in its queue, if reported.
    pub fn get_waiting(&self) -> Option<u64> {
        self.waiting
    }

    /// How much of its KV cache is in use, if reported.
    pub fn get_kv_cache_use(&self) -> Option<f64> {
        self.kv_cache_use
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The reported requests that the gateway does not count itself, when `own` were in flight
    /// at that moment. If the KV cache is full, each waiting one counts twice.
    fn foreign(&self, own: usize) -> u32 {
        let waiting = self.waiting.unwrap_or(0);
        let all = self.running.unwrap_or(0) + waiting;
        let is_full = self.kv_cache_use.is_some_and(|share| share >= FULL);
        let stuck = if is_full { waiting } else { 0 };
        // Far below the maximum: see `MAX_REQUESTS`.
        (all.saturating_sub(own as u64) + stuck) as u32
    }
}

/// A number of requests as engines write them; `None` if it is not one.
pub(crate) fn requests(value: f64) -> Option<u64> {
    (0.0..=MAX_REQUESTS as f64)
        .contains(&value)
        .then_some(value.round() as u64)
}

/// How a [`LoadReport`] came to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReportSource {
    /// In the head of an answer: [`ModelServer::load_reports`](crate::ModelServer::load_reports).
    InBand,
    /// From its metrics.
    Scraped,
    /// From a [`LoadSource`](crate::LoadSource).
    Pushed,
}

impl ReportSource {
    const ALL: [Self; 3] = [Self::InBand, Self::Scraped, Self::Pushed];

    /// Its name in JSON, such as `inBand`.
    pub fn name(self) -> &'static str {
        match self {
            Self::InBand => "inBand",
            Self::Scraped => "scraped",
            Self::Pushed => "pushed",
        }
    }
}

/// The last report of one source, as [`EndpointSnapshot::reported`] shows it.
///
/// [`EndpointSnapshot::reported`]: crate::EndpointSnapshot::reported
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReportedLoad {
    report: LoadReport,
    source: ReportSource,
    age: Duration,
}

impl ReportedLoad {
    /// What it says.
    pub fn report(&self) -> LoadReport {
        self.report
    }

    /// Where it came from.
    pub fn source(&self) -> ReportSource {
        self.source
    }

    /// How long ago it came.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// Whether it still counts, which it does for two seconds.
    pub fn is_fresh(&self) -> bool {
        self.age <= FRESH
    }
}

/// The reports of one endpoint: the last of each source.
///
/// The choice of an endpoint reads words without a lock; the lock is for those who report, and
/// for people.
#[derive(Debug)]
pub(crate) struct Reports {
    start: Instant,
    /// For each source the requests that the gateway does not count itself, and the milliseconds
    /// since `start` at which it said so; 0 if it reported none.
    foreign: [AtomicU64; 3],
    /// The milliseconds since `start` at which it may be asked again.
    ask_at: AtomicU64,
    last: Mutex<[Option<(LoadReport, Instant)>; 3]>,
}

impl Reports {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            foreign: array::from_fn(|_| AtomicU64::new(0)),
            ask_at: AtomicU64::new(0),
            last: Mutex::default(),
        }
    }

    /// It says this, while `own` requests of the gateway are in flight there.
    pub(super) fn report(&self, source: ReportSource, report: LoadReport, own: usize) {
        if report.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut last = lock(&self.last);
        let slots = last.iter_mut().zip(&self.foreign);
        for (known, (slot, word)) in ReportSource::ALL.into_iter().zip(slots) {
            if known == source {
                *slot = Some((report, now));
                word.store(
                    pack(report.foreign(own), self.millis(now)),
                    Ordering::Relaxed,
                );
            }
        }
    }

    /// The most that a fresh report says about requests that the gateway does not count itself: each
    /// says how many there are at least.
    #[inline]
    pub(super) fn foreign(&self, now: impl FnOnce() -> Instant) -> usize {
        let mut words = self.foreign.iter().map(|word| word.load(Ordering::Relaxed));
        match words.all(|word| word == 0) {
            true => 0,
            false => self.most_foreign(now()),
        }
    }

    #[cold]
    fn most_foreign(&self, now: Instant) -> usize {
        let now = self.millis(now);
        let fresh = self.foreign.iter().map(|slot| {
            let word = slot.load(Ordering::Relaxed);
            let (foreign, at) = unpack(word);
            // Times of other threads may be a little later than ours.
            let age = now.wrapping_sub(at) as i32;
            if age <= FRESH.as_millis() as i32 && word != 0 {
                return foreign;
            }
            // So that it costs nothing any more, and does not seem fresh when the time wraps.
            _ = slot.compare_exchange(word, 0, Ordering::Relaxed, Ordering::Relaxed);
            0
        });
        fresh.max().unwrap_or(0) as usize
    }

    /// Whether it may be asked now; if so, not again for a second.
    pub(super) fn may_ask(&self) -> bool {
        let now = Instant::now().saturating_duration_since(self.start);
        let at = self.ask_at.load(Ordering::Relaxed);
        let is_due = now.as_millis() as u64 >= at;
        let next = (now + ASKED).as_millis() as u64;
        let relaxed = Ordering::Relaxed;
        is_due
            && self
                .ask_at
                .compare_exchange(at, next, relaxed, relaxed)
                .is_ok()
    }

    /// The last of each source, for people.
    pub(super) fn last(&self) -> Vec<ReportedLoad> {
        let now = Instant::now();
        let last = *lock(&self.last);
        let all = ReportSource::ALL.into_iter().zip(last);
        all.filter_map(|(source, last)| {
            let (report, at) = last?;
            let age = now.saturating_duration_since(at);
            Some(ReportedLoad {
                report,
                source,
                age,
            })
        })
        .collect()
    }

    fn millis(&self, now: Instant) -> u32 {
        // It wraps after 49 days; what is no longer fresh is taken out before, or is as if it
        // were from 24 days ahead at the most, and is taken out then.
        now.saturating_duration_since(self.start).as_millis() as u32
    }
}

fn pack(foreign: u32, at: u32) -> u64 {
    match foreign {
        0 => 0,
        _ => (u64::from(foreign) << 32) | u64::from(at),
    }
}

fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;

    fn foreign(reports: &Reports) -> usize {
        reports.foreign(Instant::now)
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_sent_counts_and_what_the_gateway_sent_does_not() {
        let reports = Reports::new();
        assert_eq!(foreign(&reports), 0);
        let busy = LoadReport::new().running(8).waiting(4);
        for (own, expected) in [(0, 12), (5, 7), (12, 0), (40, 0)] {
            reports.report(ReportSource::Scraped, busy, own);
            assert_eq!(foreign(&reports), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_counts_for_two_seconds() {
        let reports = Reports::new();
        reports.report(ReportSource::Pushed, LoadReport::new().running(3), 0);
        advance(FRESH).await;
        assert_eq!(foreign(&reports), 3);
        assert!(reports.last()[0].is_fresh());
        advance(Duration::from_millis(1)).await;
        assert_eq!(foreign(&reports), 0);
        assert!(!reports.last()[0].is_fresh());
        assert!(reports.foreign[2].load(Ordering::Relaxed) == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_sources_the_one_that_knows_of_most_counts() {
        let reports = Reports::new();
        reports.report(ReportSource::InBand, LoadReport::new().waiting(2), 0);
        reports.report(ReportSource::Scraped, LoadReport::new().running(9), 3);
        assert_eq!(foreign(&reports), 6);
        // A report of none takes back its own, and no other's.
        reports.report(ReportSource::Scraped, LoadReport::new().running(0), 3);
        assert_eq!(foreign(&reports), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_cache_makes_what_waits_count_twice() {
        let reports = Reports::new();
        for (share, expected) in [(0.94, 0), (0.95, 5), (1.0, 5)] {
            let report = LoadReport::new().waiting(5).kv_cache_use(share);
            reports.report(ReportSource::InBand, report, 5);
            assert_eq!(foreign(&reports), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_says_nothing_changes_nothing() {
        let reports = Reports::new();
        reports.report(ReportSource::Pushed, LoadReport::new().running(3), 0);
        let nothing = LoadReport::new().running(u64::MAX).kv_cache_use(f64::NAN);
        reports.report(ReportSource::Pushed, nothing, 0);
        assert_eq!(foreign(&reports), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn it_may_be_asked_once_a_second() {
        let reports = Reports::new();
        assert!(reports.may_ask());
        assert!(!reports.may_ask());
        advance(Duration::from_millis(999)).await;
        assert!(!reports.may_ask());
        advance(Duration::from_millis(1)).await;
        assert!(reports.may_ask());
        assert!(!reports.may_ask());
    }

    proptest! {
        #[test]
        fn no_report_says_more_than_it_can(running: u64, waiting: u64, share: f64, own: usize) {
            let report = LoadReport::new().running(running).waiting(waiting).kv_cache_use(share);
            prop_assert!(u64::from(report.foreign(own)) <= 3 * MAX_REQUESTS);
        }
    }
}
