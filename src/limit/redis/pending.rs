//! Settlements that have yet to be written to Redis.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use crate::{limit::store::StoreTake, pieces::lock};

/// How many buckets can wait to be settled.
const MOST: usize = 10_000;
/// How many are settled in one call: Redis does nothing else in the meantime.
pub(super) const AT_ONCE: usize = 256;

/// The amounts by bucket: what comes for the same one adds up, so that a slow Redis loses nothing.
#[derive(Debug, Default)]
pub(super) struct Unsettled(Mutex<HashMap<Arc<str>, StoreTake>>);

impl Unsettled {
    /// Whether there was room.
    pub(super) fn add(&self, take: StoreTake) -> bool {
        let mut takes = lock(&self.0);
        if let Some(known) = takes.get_mut(&take.key) {
            known.amount = known.amount.saturating_add(take.amount);
            return true;
        }
        let has_room = takes.len() < MOST;
        if has_room {
            takes.insert(Arc::clone(&take.key), take);
        }
        has_room
    }

    /// Some of them, which are then no more here.
    pub(super) fn some(&self) -> Vec<StoreTake> {
        let mut takes = lock(&self.0);
        let some = takes.extract_if(|_, _| true).take(AT_ONCE);
        some.map(|(_, take)| take).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn take(key: &str, amount: i64) -> StoreTake {
        StoreTake::new(key, 10, Duration::from_secs(1), amount)
    }

    #[test]
    fn amounts_add_up_and_buckets_are_bounded() {
        let unsettled = Unsettled::default();
        for bucket in 0..MOST {
            assert!(unsettled.add(take(&bucket.to_string(), 1)));
        }
        assert!(!unsettled.add(take("one more", 1)));
        for _ in 0..3 {
            assert!(unsettled.add(take("7", -2)));
        }
        let mut all = Vec::new();
        loop {
            let some = unsettled.some();
            assert!(some.len() <= AT_ONCE);
            if some.is_empty() {
                break;
            }
            all.extend(some);
        }
        assert_eq!(all.len(), MOST);
        let amount: i64 = all.iter().map(|take| take.amount).sum();
        assert_eq!(amount, MOST as i64 - 6);
    }
}
