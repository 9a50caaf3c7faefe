//! Handles that are looked up by their labels, at the cost of a hash and without a
//! lock.

use std::{
    array, fmt,
    hash::{BuildHasher, Hash},
    sync::{Arc, Mutex},
};

use arc_swap::ArcSwap;
use hashbrown::{DefaultHashBuilder, HashTable};

use crate::pieces::lock;

const SHARDS: usize = 16;
/// A shard that has more forgets them all: names come and go with tables, and what is asked for
/// again is made again.
const MAX: usize = 512;

/// Entries with their hashes.
type Shard<E> = HashTable<(u64, Arc<E>)>;

/// Entries, each made once, when it is first asked for.
pub(super) struct Cache<E> {
    shards: [ArcSwap<Shard<E>>; SHARDS],
    hasher: DefaultHashBuilder,
    making: Mutex<()>,
}

impl<E> Default for Cache<E> {
    fn default() -> Self {
        Self {
            shards: array::from_fn(|_| ArcSwap::default()),
            hasher: DefaultHashBuilder::default(),
            making: Mutex::default(),
        }
    }
}

impl<E> Cache<E> {
    /// Passes to `then` the entry that `is` says has this key; it is created if
    /// there is none.
    pub(super) fn with<K: Hash>(
        &self,
        key: &K,
        is: impl Fn(&E, &K) -> bool,
        make: impl FnOnce(&K) -> E,
        then: impl FnOnce(&E),
    ) {
        let hash = self.hasher.hash_one(key);
        // The table uses the high bits and the low ones.
        let Some(shard) = self.shards.get((hash >> 32) as usize % SHARDS) else {
            return;
        };
        let same = |(other, entry): &(u64, Arc<E>)| *other == hash && is(entry, key);
        if let Some((_, entry)) = shard.load().find(hash, same) {
            return then(entry);
        }
        let entry = {
            let _making = lock(&self.making);
            let known = shard.load();
            match known.find(hash, same) {
                Some((_, entry)) => Arc::clone(entry),
                None => {
                    let entry = Arc::new(make(key));
                    let mut more = match known.len() < MAX {
                        true => HashTable::clone(&known),
                        false => HashTable::new(),
                    };
                    more.insert_unique(hash, (hash, Arc::clone(&entry)), |(hash, _)| *hash);
                    shard.store(Arc::new(more));
                    entry
                }
            }
        };
        then(&entry);
    }
}

impl<E> fmt::Debug for Cache<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len: usize = self.shards.iter().map(|shard| shard.load().len()).sum();
        f.debug_tuple("Cache").field(&len).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn an_entry_is_made_once_and_memory_is_bounded() {
        let cache = Cache::<u32>::default();
        let made = Cell::new(0);
        let ask = |key: u32| {
            let make = |key: &u32| {
                made.set(made.get() + 1);
                *key
            };
            cache.with(
                &key,
                |entry, key| entry == key,
                make,
                |entry| {
                    assert_eq!(*entry, key);
                },
            );
        };
        (0..100).chain(0..100).for_each(ask);
        assert_eq!(made.get(), 100);
        (0..100_000).for_each(ask);
        let kept: usize = cache.shards.iter().map(|shard| shard.load().len()).sum();
        assert!(kept <= SHARDS * MAX, "{kept}");
    }
}
