//! One endpoint at run time: its health, and its requests.

use std::sync::{
    Arc, Mutex, OnceLock, Weak,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use tokio::time::Instant;
use tracing::info;

use super::{
    adapters::Adapters,
    complaints::Complaints,
    health::Health,
    queue::Queue,
    reported::{LoadReport, ReportSource, ReportedLoad, Reports},
};
use crate::{config::Address, pieces::lock, server::balance::ewma::Ewma};

/// An endpoint, shared by all requests to it and by all ModelServers that have it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    /// What people call it; the first name that a table has for it.
    name: OnceLock<Arc<str>>,
    pub(crate) health: Health,
    pub(crate) counts: Counts,
    /// That it can't be reached.
    pub(super) complaints: Complaints,
    /// Observed only if the balance needs it.
    pub(crate) latency: Ewma,
    /// What is known about requests that the gateway has not sent.
    reports: Reports,
    /// The models that it serves, as far as they are known.
    pub(crate) adapters: Adapters,
    in_flight: AtomicUsize,
    /// The tokens of those in flight whose tokens are known, and how many these are.
    tokens: AtomicU64,
    weighed: AtomicUsize,
    /// Whether more than one queue waits for it.
    is_shared: AtomicBool,
    /// The queues of its ModelServers.
    queues: Mutex<Vec<Weak<Queue>>>,
}

/// The counters of an endpoint.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) ejections: AtomicU64,
}

impl Endpoint {
    pub(crate) fn new(address: Address) -> Self {
        Self {
            address: address.interned(),
            name: OnceLock::new(),
            health: Health::default(),
            counts: Counts::default(),
            complaints: Complaints::default(),
            latency: Ewma::new(),
            reports: Reports::new(),
            adapters: Adapters::default(),
            in_flight: AtomicUsize::new(0),
            tokens: AtomicU64::new(0),
            weighed: AtomicUsize::new(0),
            is_shared: AtomicBool::new(false),
            queues: Mutex::default(),
        }
    }

    /// Makes `queue` one of those that are woken when a request here ends.
    pub(super) fn wakes(&self, queue: &Arc<Queue>) {
        let mut queues = lock(&self.queues);
        queues.retain(|known| known.strong_count() > 0);
        if !queues
            .iter()
            .any(|known| known.as_ptr() == Arc::as_ptr(queue))
        {
            queues.push(Arc::downgrade(queue));
        }
        self.is_shared.store(queues.len() > 1, Ordering::Relaxed);
    }

    /// Whether several ModelServers have it.
    pub(super) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }

    /// Wakes `own` queue, and those of the other ModelServers that have the endpoint.
    pub(super) fn freed(&self, own: &Queue) {
        own.freed();
        if self.is_shared() {
            self.wake_all();
        }
    }

    /// Wakes the queues of all ModelServers that have it, because it may take requests again.
    pub(crate) fn wake_all(&self) {
        let queues: Vec<_> = lock(&self.queues)
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        queues.iter().for_each(|queue| queue.freed());
    }

    /// Takes it out of service, or puts it back: draining, it gets no new requests, and what is
    /// in flight ends as it would.
    pub(crate) fn set_draining(&self, is_draining: bool) {
        if !self.health.set_draining(is_draining) {
            return;
        }
        let (endpoint, endpoint_name) = (&**self.uri(), self.name());
        if is_draining {
            let in_flight = self.in_flight();
            info!(target: "tower_model_route::health", endpoint, endpoint_name, in_flight, "endpoint is draining");
        } else {
            info!(target: "tower_model_route::health", endpoint, endpoint_name, "endpoint takes requests again");
            self.wake_all();
        }
    }

    /// The normalized URI.
    pub(crate) fn uri(&self) -> &Arc<str> {
        &self.address.uri
    }

    /// What people call it.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.get().map(|name| &**name)
    }

    pub(crate) fn shared_name(&self) -> Option<Arc<str>> {
        self.name.get().cloned()
    }

    /// Gives it a name, unless it has one.
    pub(crate) fn is_called(&self, name: &str) {
        self.name.get_or_init(|| name.into());
    }

    /// Whether it may be the process that `other` was, with the same URI: if both have names, they
    /// are the same.
    pub(super) fn may_be(&self, other: &Self) -> bool {
        Option::zip(self.name(), other.name()).is_none_or(|(own, other)| own == other)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What the choice of an endpoint compares: the requests in flight, those that others have
    /// sent as far as that is known, and what its recent failures count as.
    pub(super) fn load(&self) -> usize {
        self.in_flight() + self.foreign(Instant::now) + self.health.burden()
    }

    /// The requests that the gateway has not sent, as a fresh report says; where the KV cache is
    /// full, each that waits counts once more. Without reports the clock is not read.
    pub(super) fn foreign(&self, now: impl FnOnce() -> Instant) -> usize {
        self.reports.foreign(now)
    }

    /// Says how it is, while `own` requests of the gateway are in flight there.
    pub(crate) fn report(&self, source: ReportSource, report: LoadReport, own: usize) {
        self.reports.report(source, report, own);
    }

    /// Whether a request may ask it for its load now; if so, not again for a second.
    pub(crate) fn may_be_asked(&self) -> bool {
        self.reports.may_ask()
    }

    /// The last report of each source.
    pub(crate) fn reported(&self) -> Vec<ReportedLoad> {
        self.reports.last()
    }

    /// The tokens in flight: of requests whose tokens are not known, and of what else counts as
    /// requests, so many as are `typical`.
    pub(super) fn tokens(&self, typical: u64) -> u64 {
        let known = self.tokens.load(Ordering::Relaxed);
        let unknown = self
            .load()
            .saturating_sub(self.weighed.load(Ordering::Relaxed));
        known.saturating_add(typical.saturating_mul(unknown as u64))
    }

    /// Counts the tokens of a request that is in flight.
    pub(super) fn weigh(&self, tokens: u64) {
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
        self.weighed.fetch_add(1, Ordering::Relaxed);
    }

    /// Some of a request's tokens count no more.
    pub(super) fn release(&self, tokens: u64) {
        self.tokens.fetch_sub(tokens, Ordering::Relaxed);
    }

    /// The rest of a request's tokens counts no more, and the request is not in flight.
    pub(super) fn unweigh(&self, tokens: u64) {
        self.release(tokens);
        self.weighed.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether [`begin`](Self::begin) would count one more.
    pub(crate) fn has_room(&self, max: Option<usize>) -> bool {
        // SeqCst, for the same reason as in `begin`.
        max.is_none_or(|max| self.in_flight.load(Ordering::SeqCst) < max)
    }

    /// Counts one more request in flight, unless `max` already are.
    pub(crate) fn begin(&self, max: Option<usize>) -> bool {
        let Some(max) = max else {
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        // In one total order with the queue's count of waiting requests: see `Queue::freed`.
        let counted = self
            .in_flight
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| {
                (count < max).then_some(count + 1)
            });
        counted.is_ok()
    }

    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_begin_than_may() {
        let endpoint = Endpoint::new(Address::parse("http://h").unwrap());
        assert!(!endpoint.has_room(Some(0)) && !endpoint.begin(Some(0)));
        assert!(endpoint.begin(Some(2)) && endpoint.begin(Some(2)));
        assert!(!endpoint.has_room(Some(2)) && !endpoint.begin(Some(2)));
        assert!(endpoint.begin(None));
        endpoint.end();
        endpoint.end();
        assert!(endpoint.has_room(Some(2)) && endpoint.begin(Some(2)));
        assert_eq!(endpoint.in_flight(), 2);
    }
}
