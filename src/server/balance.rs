//! Which endpoint of a ModelServer takes the next request.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::Endpoint;

/// The endpoint with the fewest requests in flight; ties rotate.
#[derive(Debug, Default)]
pub(crate) struct LeastLoaded {
    turn: AtomicUsize,
}

impl LeastLoaded {
    pub(crate) fn pick<'a>(&self, endpoints: &'a [Arc<Endpoint>]) -> Option<&'a Arc<Endpoint>> {
        if let [only] = endpoints {
            return Some(only);
        }
        let start = self
            .turn
            .fetch_add(1, Ordering::Relaxed)
            .checked_rem(endpoints.len())?;
        // min_by_key takes the first of equals, so where the search starts breaks the tie.
        let (before, after) = endpoints.split_at(start);
        after
            .iter()
            .chain(before)
            .min_by_key(|endpoint| endpoint.in_flight())
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
            assert_eq!(&*picked.uri, "http://h1");
        }
    }

    #[test]
    fn ties_rotate() {
        let endpoints = endpoints(3);
        let balance = LeastLoaded::default();
        let picked: Vec<_> = (0..6)
            .map(|_| balance.pick(&endpoints).unwrap().uri.to_string())
            .collect();
        assert_eq!(picked[..3], picked[3..]);
        for i in 0..3 {
            assert!(picked.contains(&format!("http://h{i}")));
        }
    }

    #[test]
    fn none_of_none() {
        assert!(LeastLoaded::default().pick(&[]).is_none());
    }
}
