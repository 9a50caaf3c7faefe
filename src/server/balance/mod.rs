//! Which endpoint of a ModelServer takes the next request.

mod config;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

pub use self::config::{Balance, HashKey};
use super::Endpoint;

/// The endpoint with the fewest requests in flight; ties rotate.
#[derive(Debug, Default)]
pub(crate) struct Balancer {
    turn: AtomicUsize,
}

impl Balancer {
    /// The position of the endpoint, `None` where there is none.
    pub(crate) fn pick(
        &self,
        endpoints: &[Arc<Endpoint>],
        usable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let start = self
            .turn
            .fetch_add(1, Ordering::Relaxed)
            .checked_rem(endpoints.len())?;
        // min_by_key takes the first of equals, so where the search starts breaks the tie.
        (start..endpoints.len())
            .chain(0..start)
            .filter(|&endpoint| usable(endpoint))
            .min_by_key(|&endpoint| endpoints[endpoint].in_flight())
    }
}
