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
    held: AtomicU64,
}

/// Nothing more may be held.
#[derive(Debug)]
pub(super) struct Full;

impl From<Full> for RouteError {
    fn from(Full: Full) -> Self {
        Self::new(
            RouteErrorKind::Overloaded,
            "the gateway holds too many request bodies, try again shortly",
        )
    }
}

impl Memory {
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        let held = AtomicU64::new(0);
        Arc::new(Self { limit, held })
    }

    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64, limit: u64) -> Result<(), Full> {
        let more = |held: u64| {
            let more = held.saturating_add(bytes);
            (more <= limit).then_some(more)
        };
        let taken = self
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map(|_| ()).map_err(|_| Full)
    }

    fn give_back(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Share {
    pub(crate) fn of(memory: &Arc<Memory>) -> Self {
        Self {
            memory: Some(Arc::clone(memory)),
            held: AtomicU64::new(0),
        }
    }

    /// Holds this many bytes more. Fails with `overloaded` beyond the limit.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<(), RouteError> {
        let bytes = self.held.get_mut().saturating_add(bytes);
        Ok(self.resize(bytes)?)
    }

    /// The same of a share that is in several hands, and not released yet.
    pub(crate) fn add(&self, bytes: u64) -> Result<(), RouteError> {
        if let Some(memory) = &self.memory {
            memory.take(bytes, memory.limit)?;
        }
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Holds only this many bytes in all.
    pub(crate) fn shrink_to(&mut self, bytes: u64) {
        let bytes = bytes.min(*self.held.get_mut());
        _ = self.resize(bytes);
    }

    /// Holds this many bytes in all, or as many as before if that is beyond the limit.
    pub(super) fn resize(&mut self, bytes: u64) -> Result<(), Full> {
        self.resize_within(bytes, |limit| limit)
    }

    /// The same for what only saves time: it leaves half of the room to what is needed.
    pub(super) fn resize_to_spare(&mut self, bytes: u64) -> Result<(), Full> {
        self.resize_within(bytes, |limit| limit / 2)
    }

    fn resize_within(&mut self, bytes: u64, part: impl Fn(u64) -> u64) -> Result<(), Full> {
        let held = self.held.get_mut();
        if let Some(memory) = &self.memory {
            match bytes.checked_sub(*held) {
                Some(0) => {}
                Some(more) => memory.take(more, part(memory.limit))?,
                None => memory.give_back(*held - bytes),
            }
        }
        *held = bytes;
        Ok(())
    }

    /// Gives all of it back, of a share that is in several hands. It must be called once at most.
    pub(crate) fn release(&self) {
        let held = self.held.load(Ordering::Relaxed);
        self.held.store(0, Ordering::Relaxed);
        if let Some(memory) = self.memory.as_ref().filter(|_| held > 0) {
            memory.give_back(held);
        }
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

    fn held(share: &Share) -> u64 {
        share.held.load(Ordering::Relaxed)
    }

    proptest! {
        #[test]
        fn what_is_held_is_the_sum_of_the_shares_and_within_the_limit(
            steps in proptest::collection::vec((0_usize..4, 0_u64..70), 0..50)
        ) {
            let memory = Memory::new(100);
            let mut shares: Vec<_> = (0..4).map(|_| Share::of(&memory)).collect();
            for (which, bytes) in steps {
                let others = memory.held() - held(&shares[which]);
                let fits = shares[which].resize(bytes).is_ok();
                prop_assert_eq!(fits, others + bytes <= 100 || bytes <= held(&shares[which]));
                let sum: u64 = shares.iter().map(held).sum();
                prop_assert_eq!(memory.held(), sum);
                prop_assert!(sum <= 100);
            }
            drop(shares);
            prop_assert_eq!(memory.held(), 0);
        }
    }
}
