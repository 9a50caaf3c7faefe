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
pub(crate) struct LeastLoaded {
    turn: AtomicUsize,
}

impl LeastLoaded {
    /// The position of the endpoint, `None` where there is none.
    pub(crate) fn pick(&self, endpoints: &[Arc<Endpoint>]) -> Option<usize> {
        if endpoints.len() == 1 {
            return Some(0);
        }
        let start = self
            .turn
            .fetch_add(1, Ordering::Relaxed)
            .checked_rem(endpoints.len())?;
        // min_by_key takes the first of equals, so where the search starts breaks the tie.
        (start..endpoints.len())
            .chain(0..start)
            .min_by_key(|&endpoint| endpoints[endpoint].in_flight())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(n: usize) -> Vec<Arc<Endpoint>> {
        (0..n)
            .map(|i| Arc::new(Endpoint::parse(&format!("http://h{i}")).unwrap()))
            .collect()
    }

    #[test]
    fn the_least_loaded_is_taken() {
        let endpoints = endpoints(3);
        let balance = LeastLoaded::default();
        let _held = [endpoints[0].lease(), endpoints[2].lease()];
        for _ in 0..5 {
            let picked = balance.pick(&endpoints).unwrap();
            assert_eq!(picked, 1);
        }
    }

    #[test]
    fn ties_rotate() {
        let endpoints = endpoints(3);
        let balance = LeastLoaded::default();
        let picked: Vec<_> = (0..6).map(|_| balance.pick(&endpoints).unwrap()).collect();
        assert_eq!(picked[..3], picked[3..]);
        assert!((0..3).all(|i| picked.contains(&i)));
    }

    #[test]
    fn none_of_none() {
        assert!(LeastLoaded::default().pick(&[]).is_none());
    }
}
