//! The memory that the bodies of all requests take together.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::error::{RouteError, RouteErrorKind};

/// The bytes that all requests of a layer hold, and how many they may.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: u64,
    held: AtomicU64,
}

/// What one request holds of it; dropping it gives that back.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// `None` for what needs no counting.
    memory: Option<Arc<Memory>>,
    held: u64,
}

/// Nothing more may be held.
#[derive(Debug)]
pub(super) struct Full;

impl Memory {
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        let held = AtomicU64::new(0);
        Arc::new(Self { limit, held })
    }

    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> Result<(), Full> {
        let more = |held: u64| {
            let more = held.saturating_add(bytes);
            (more <= self.limit).then_some(more)
        };
        let taken = self
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map(|_| ()).map_err(|_| Full)
    }
}

impl Share {
    pub(crate) fn of(memory: &Arc<Memory>) -> Self {
        Self {
            memory: Some(Arc::clone(memory)),
            held: 0,
        }
    }

    /// Holds this many bytes more. Fails with `overloaded` beyond the limit.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<(), RouteError> {
        self.resize(self.held.saturating_add(bytes))
            .map_err(|Full| {
                RouteError::new(
                    RouteErrorKind::Overloaded,
                    "the gateway holds too many request bodies, try again shortly",
                )
            })
    }

    /// Holds this many bytes in all, or as many as before if that is beyond the limit.
    pub(super) fn resize(&mut self, bytes: u64) -> Result<(), Full> {
        if let Some(memory) = &self.memory {
            match bytes.checked_sub(self.held) {
                Some(more) => memory.take(more)?,
                None => _ = memory.held.fetch_sub(self.held - bytes, Ordering::Relaxed),
            }
        }
        self.held = bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        _ = self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_held_is_the_sum_of_the_shares_and_within_the_limit(
            steps in proptest::collection::vec((0_usize..4, 0_u64..70), 0..50)
        ) {
            let memory = Memory::new(100);
            let mut shares: Vec<_> = (0..4).map(|_| Share::of(&memory)).collect();
            for (which, bytes) in steps {
                let others = memory.held() - shares[which].held;
                let fits = shares[which].resize(bytes).is_ok();
                prop_assert_eq!(fits, others + bytes <= 100 || bytes <= shares[which].held);
                let sum: u64 = shares.iter().map(|share| share.held).sum();
                prop_assert_eq!(memory.held(), sum);
                prop_assert!(sum <= 100);
            }
            drop(shares);
            prop_assert_eq!(memory.held(), 0);
        }
    }
}
