//! The buckets of a limit with keys.

use std::{
    hash::BuildHasher,
    sync::{Arc, Mutex},
};

use hashbrown::{DefaultHashBuilder, HashMap};

use crate::pieces::lock;

const SHARDS: usize = 16;

/// The buckets of the keys that were used last, in shards with a lock each.
///
/// A shard has two generations of half its share. A key that is used moves to the young one; when
/// that is full, it becomes the old one, and what was still in the old one is forgotten. What a
/// request under way holds is not, and takes no room: it begins the next young one. That is nearly
/// LRU, in constant time, without a list.
#[derive(Debug)]
pub(super) struct Keyed<T> {
    shards: Box<[Mutex<Generations<T>>]>,
    hasher: DefaultHashBuilder,
    /// The room for keys in the young generation of a shard.
    young: usize,
}

#[derive(Debug)]
struct Generations<T> {
    young: HashMap<Arc<str>, Arc<T>>,
    old: HashMap<Arc<str>, Arc<T>>,
    /// How many more keys the young one takes.
    room: usize,
}

impl<T: Default> Keyed<T> {
    /// Remembers `max` keys, and those in use.
    pub(super) fn new(max: usize) -> Self {
        // A shard for each key at the most, so that few are not many.
        let shards = SHARDS.min(max.div_ceil(2)).max(1);
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            hasher: DefaultHashBuilder::default(),
            young: (max / 2).div_ceil(shards).max(1),
        }
    }

    /// The bucket of this key, which is a new one if the key is not known.
    pub(super) fn get(&self, key: &str) -> Arc<T> {
        let hash = self.hasher.hash_one(key);
        let shard = (hash % self.shards.len() as u64) as usize;
        let Some(shard) = self.shards.get(shard) else {
            return Arc::default();
        };
        let mut shard = lock(shard);
        if let Some(bucket) = shard.young.get(key) {
            return Arc::clone(bucket);
        }
        let (key, bucket) = match shard.old.remove_entry(key) {
            Some(known) => known,
            None => (Arc::from(key), Arc::default()),
        };
        if shard.room == 0 {
            shard.age();
            // It has looked at each of those in use: not again before as many have come.
            shard.room = self.young.max(shard.young.len());
        }
        shard.room -= 1;
        shard.young.insert(key, Arc::clone(&bucket));
        bucket
    }

    /// The bucket of this key, if it is known.
    pub(super) fn look(&self, key: &str) -> Option<Arc<T>> {
        let hash = self.hasher.hash_one(key);
        let shard = (hash % self.shards.len() as u64) as usize;
        let shard = lock(self.shards.get(shard)?);
        shard.young.get(key).or_else(|| shard.old.get(key)).cloned()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let shards = self.shards.iter().map(|shard| lock(shard));
        shards
            .map(|shard| shard.young.len() + shard.old.len())
            .sum()
    }
}

impl<T> Default for Generations<T> {
    fn default() -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            room: 0,
        }
    }
}

impl<T> Generations<T> {
    fn age(&mut self) {
        let mut used = std::mem::take(&mut self.old);
        used.retain(|_, bucket| Arc::strong_count(bucket) > 1);
        self.old = std::mem::replace(&mut self.young, used);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limit::bucket::Count;

    proptest! {
        #[test]
        fn what_is_in_use_takes_no_room_from_what_was_used_last(
            young in 1_usize..6,
            steps in proptest::collection::vec((0_u32..40, any::<bool>()), 1..400),
        ) {
            let one_shard = Keyed::<Count> {
                shards: Box::new([Mutex::default()]),
                hasher: DefaultHashBuilder::default(),
                young,
            };
            // The keys by when they were used, the last first; and those in use.
            let (mut used, mut held) = (Vec::new(), HashMap::new());
            let mut most_held = 0;
            for (key, ends) in steps {
                let name = key.to_string();
                let bucket = one_shard.get(&name);
                used.retain(|(known, _)| *known != name);
                used.insert(0, (name.clone(), Arc::downgrade(&bucket)));
                match ends {
                    true => _ = held.remove(&name),
                    false => _ = held.insert(name, bucket),
                }
                most_held = held.len().max(most_held);
                for (position, (name, bucket)) in used.iter().enumerate() {
                    if position < young || held.contains_key(name) {
                        let known = one_shard.look(name).map(|known| Arc::as_ptr(&known));
                        prop_assert_eq!(known, Some(bucket.as_ptr()));
                    }
                }
                prop_assert!(one_shard.len() <= 2 * young + 4 * most_held);
            }
        }
    }

    #[test]
    fn unknown_keys_do_not_grow_it() {
        for max in [1, 2, 3, 100, 10_000] {
            let keyed = Keyed::<Count>::new(max);
            for key in 0..50_000 {
                keyed.get(&key.to_string());
                if key % 1000 == 0 {
                    assert!(keyed.len() <= max + 2 * SHARDS, "{} of {max}", keyed.len());
                }
            }
        }
    }

    #[test]
    fn what_was_used_last_is_remembered() {
        let keyed = Keyed::<Count>::new(3200);
        let mine = Arc::as_ptr(&keyed.get("mine"));
        for key in 0..100_000 {
            keyed.get(&key.to_string());
            if key % 500 == 0 {
                assert_eq!(Arc::as_ptr(&keyed.get("mine")), mine, "{key}");
            }
        }
    }

    #[test]
    fn what_is_in_use_is_never_forgotten() {
        let keyed = Keyed::<Count>::new(10);
        let mine = keyed.get("mine");
        for key in 0..10_000 {
            keyed.get(&key.to_string());
        }
        assert!(Arc::ptr_eq(&keyed.get("mine"), &mine));
        drop(mine);
        for key in 0..10_000 {
            keyed.get(&key.to_string());
        }
        assert!(keyed.look("mine").is_none());
    }
}
