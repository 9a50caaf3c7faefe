//! How often each target of a rule was picked.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The requests that a rule sent to each of its targets, fallbacks last.
///
/// A request costs one relaxed addition. It counts for the target that was
/// chosen first, wherever its retries go.
#[derive(Debug, Default)]
pub(crate) struct Picks {
    /// The first target's count: most rules have only one target, so it is stored inline.
    first: AtomicU64,
    others: Box<[AtomicU64]>,
}

impl Picks {
    pub(super) fn new(targets: usize) -> Arc<Self> {
        Arc::new(Self {
            first: AtomicU64::default(),
            others: (1..targets).map(|_| AtomicU64::default()).collect(),
        })
    }

    pub(crate) fn add(&self, target: usize) {
        if let Some(count) = self.of(target) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn count(&self, target: usize) -> u64 {
        self.of(target)
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn of(&self, target: usize) -> Option<&AtomicU64> {
        match target.checked_sub(1) {
            None => Some(&self.first),
            Some(other) => self.others.get(other),
        }
    }
}
