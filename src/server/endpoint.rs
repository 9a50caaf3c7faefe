//! One endpoint at run time: its health, and its requests.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use super::health::Health;
use crate::{config::Address, server::balance::ewma::Ewma};

/// An endpoint, shared by all requests to it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    pub(crate) health: Health,
    pub(crate) counts: Counts,
    /// Observed only if the balance needs it.
    pub(crate) latency: Ewma,
    in_flight: AtomicUsize,
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
            address,
            health: Health::default(),
            counts: Counts::default(),
            latency: Ewma::new(),
            in_flight: AtomicUsize::new(0),
        }
    }

    /// The normalised URI.
    pub(crate) fn uri(&self) -> &Arc<str> {
        &self.address.uri
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
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
