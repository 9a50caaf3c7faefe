//! A bounded memory of what was used last.

use hashbrown::HashMap;
use tokio::time::Instant;

/// No slot.
const NONE: u32 = u32::MAX;

/// Values by the hash of their key, each until its time. When it is full, what was not used for the
/// longest time goes first. Each call takes constant time.
#[derive(Debug)]
pub(crate) struct Recent<V> {
    max: usize,
    places: HashMap<u64, u32>,
    slots: Vec<Slot<V>>,
    newest: u32,
    oldest: u32,
}

#[derive(Debug)]
struct Slot<V> {
    key: u64,
    value: V,
    until: Instant,
    newer: u32,
    older: u32,
}

impl<V> Recent<V> {
    /// Remembers `max` values, and one at least. Memory is taken as they come.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max: max.clamp(1, NONE as usize - 1),
            places: HashMap::new(),
            slots: Vec::new(),
            newest: NONE,
            oldest: NONE,
        }
    }

    pub(crate) fn max(&self) -> usize {
        self.max
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The value of this key, if its time has not come.
    pub(crate) fn get(&self, key: u64, now: Instant) -> Option<&V> {
        let slot = self.slots.get(*self.places.get(&key)? as usize)?;
        (now < slot.until).then_some(&slot.value)
    }

    pub(crate) fn get_mut(&mut self, key: u64, now: Instant) -> Option<&mut V> {
        let slot = self.slots.get_mut(*self.places.get(&key)? as usize)?;
        (now < slot.until).then_some(&mut slot.value)
    }

    /// Keeps `value` until then; it is the one that was used last.
    pub(crate) fn put(&mut self, key: u64, value: V, until: Instant) {
        if let Some(&at) = self.places.get(&key) {
            self.unlink(at);
            if let Some(slot) = self.slots.get_mut(at as usize) {
                slot.value = value;
                slot.until = until;
            }
            self.link(at);
            return;
        }
        while self.slots.len() >= self.max {
            self.remove_at(self.oldest);
        }
        let at = u32::try_from(self.slots.len()).unwrap_or(NONE);
        self.slots.push(Slot {
            key,
            value,
            until,
            newer: NONE,
            older: NONE,
        });
        self.places.insert(key, at);
        self.link(at);
    }

    /// Keeps the value of this key until then, if there is one; it is the one that was used last.
    pub(crate) fn touch(&mut self, key: u64, until: Instant) {
        let Some(&at) = self.places.get(&key) else {
            return;
        };
        if let Some(slot) = self.slots.get_mut(at as usize) {
            slot.until = until;
        }
        if self.newest != at {
            self.unlink(at);
            self.link(at);
        }
    }

    /// Keeps at most this many from now on and drops the oldest; all of them if
    /// it is 0.
    pub(crate) fn limit(&mut self, max: usize) {
        self.max = max.clamp(1, NONE as usize - 1);
        while self.slots.len() > max {
            self.remove_at(self.oldest);
        }
    }

    fn remove_at(&mut self, at: u32) {
        self.unlink(at);
        let last = u32::try_from(self.slots.len().saturating_sub(1)).unwrap_or(NONE);
        if at > last || last == NONE {
            return;
        }
        let gone = self.slots.swap_remove(at as usize);
        self.places.remove(&gone.key);
        // The last has moved into its place.
        let Some(moved) = self.slots.get(at as usize) else {
            return;
        };
        let (key, newer, older) = (moved.key, moved.newer, moved.older);
        self.places.insert(key, at);
        match self.slots.get_mut(newer as usize) {
            Some(newer) => newer.older = at,
            None => self.newest = at,
        }
        match self.slots.get_mut(older as usize) {
            Some(older) => older.newer = at,
            None => self.oldest = at,
        }
    }

    /// Takes a slot out of the order.
    fn unlink(&mut self, at: u32) {
        let Some(slot) = self.slots.get(at as usize) else {
            return;
        };
        let (newer, older) = (slot.newer, slot.older);
        match self.slots.get_mut(newer as usize) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older as usize) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
    }

    /// Makes a slot that is in no order the newest.
    fn link(&mut self, at: u32) {
        let before = self.newest;
        if let Some(slot) = self.slots.get_mut(at as usize) {
            slot.newer = NONE;
            slot.older = before;
        }
        match self.slots.get_mut(before as usize) {
            Some(before) => before.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn the_one_that_was_not_used_for_longest_goes() {
        let now = Instant::now();
        let mut recent = Recent::new(3);
        for key in 1..=3 {
            recent.put(key, key, now + HOUR);
        }
        recent.touch(1, now + HOUR);
        recent.put(4, 4, now + HOUR);
        let left = (1..=4).map(|key| recent.get(key, now).copied());
        assert_eq!(left.collect::<Vec<_>>(), [Some(1), None, Some(3), Some(4)]);
        recent.limit(1);
        assert_eq!((recent.len(), recent.get(4, now)), (1, Some(&4)));
    }

    #[test]
    fn a_value_is_gone_when_its_time_has_come() {
        let now = Instant::now();
        let mut recent = Recent::new(3);
        recent.put(1, (), now + HOUR);
        assert!(recent.get(1, now).is_some() && recent.get(1, now + HOUR).is_none());
        recent.touch(1, now + 2 * HOUR);
        assert!(recent.get(1, now + HOUR).is_some());
        assert!(recent.get(2, now).is_none());
    }

    proptest! {
        /// As a list that is searched, whatever is done.
        #[test]
        fn it_remembers_as_a_list_does(
            max in 1..6_usize,
            steps in prop::collection::vec((0..3_u8, 0..9_u64), 0..200),
        ) {
            let now = Instant::now();
            let mut recent = Recent::new(max);
            // The oldest first.
            let mut list: Vec<(u64, usize)> = Vec::new();
            for (step, (what, key)) in steps.into_iter().enumerate() {
                let place = list.iter().position(|&(known, _)| known == key);
                if what == 0 {
                    recent.touch(key, now + HOUR);
                    if let Some(place) = place {
                        let used = list.remove(place);
                        list.push(used);
                    }
                } else {
                    recent.put(key, step, now + HOUR);
                    match place {
                        Some(place) => _ = list.remove(place),
                        None if list.len() == max => _ = list.remove(0),
                        None => {}
                    }
                    list.push((key, step));
                }
                prop_assert_eq!(recent.len(), list.len());
                for key in 0..9 {
                    let known = list.iter().find(|&&(known, _)| known == key);
                    prop_assert_eq!(recent.get(key, now).copied(), known.map(|&(_, step)| step));
                }
            }
        }
    }
}
