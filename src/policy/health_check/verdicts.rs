//! The verdicts of the checks so far.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::Response;

use crate::{
    policy::poll::{Listener, address},
    server::{Endpoint, Server},
};

/// The results of the checks so far, keyed by the endpoint's address in memory.
///
/// Dropping it takes them back.
pub(super) struct Verdicts {
    /// Tells these checks from others of the same endpoints.
    number: usize,
    unhealthy_after: u32,
    healthy_after: u32,
    known: HashMap<usize, Verdict>,
}

struct Verdict {
    endpoint: Arc<Endpoint>,
    passed: bool,
    /// How many checks in a row have had this result.
    times: u32,
}

impl Verdicts {
    pub(super) fn new(unhealthy_after: u32, healthy_after: u32) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        Self {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            unhealthy_after,
            healthy_after,
            known: HashMap::new(),
        }
    }

    fn count(&mut self, endpoint: Arc<Endpoint>, passed: bool) {
        let verdict = self
            .known
            .entry(address(&endpoint))
            .or_insert_with(|| Verdict {
                endpoint,
                passed,
                times: 0,
            });
        if verdict.passed != passed {
            verdict.passed = passed;
            verdict.times = 0;
        }
        verdict.times = verdict.times.saturating_add(1);
        let enough = match passed {
            true => self.healthy_after,
            false => self.unhealthy_after,
        };
        if verdict.times >= enough {
            verdict.endpoint.health.checked(self.number, passed);
            if passed {
                verdict.endpoint.wake_all();
            }
        }
    }
}

impl<R: Send + 'static> Listener<R> for Verdicts {
    /// That it has passed.
    type Reading = ();

    async fn read(answer: Response<R>) -> Option<()> {
        answer.status().is_success().then_some(())
    }

    /// Forgets the endpoints that are not in the table any more.
    fn begin(&mut self, endpoints: &[(Arc<Endpoint>, Arc<Server>)]) {
        let present: HashSet<usize> = endpoints
            .iter()
            .map(|(endpoint, _)| address(endpoint))
            .collect();
        let number = self.number;
        self.known.retain(|address, verdict| {
            let is_present = present.contains(address);
            if !is_present {
                verdict.endpoint.health.unchecked(number);
            }
            is_present
        });
    }

    fn heard(&mut self, endpoint: Arc<Endpoint>, passed: Option<()>) {
        self.count(endpoint, passed.is_some());
    }
}

impl Drop for Verdicts {
    fn drop(&mut self) {
        for verdict in self.known.values() {
            verdict.endpoint.health.unchecked(self.number);
        }
    }
}
