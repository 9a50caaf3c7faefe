//! Which endpoint's engine has computed which beginnings of prompts.
//!
//! A prompt is a chain of blocks: the hash of a block covers all before it, so that two prompts
//! with the same hash begin alike. Engines forget what was used least recently; so does this.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::{prompt::Prompt, scene::Scene};

/// The slots that one hash can be in: a cache line.
const WAYS: usize = 8;
/// An endpoint's entries are this many ages long, counted by what was new there since.
const AGES: u32 = 1024;
/// Ages are kept modulo this.
const AGES_TOLD: u32 = 4096;
/// The endpoints that can be told apart; those after them are not remembered.
const MOST_ENDPOINTS: usize = 4095;

/// What each endpoint has seen: a bounded number of blocks for each, the least recently used
/// dropped first.
///
/// It is a table of fixed size, in which a hash has eight places in one cache line. Reading and
/// writing are single atomic operations without an order: what is lost to another thread is a
/// hint, and every entry is whole by itself.
#[derive(Debug)]
pub(super) struct Prefixes {
    /// [`WAYS`] for each hash, see [`Slot`]; 0 is empty.
    slots: Box<[AtomicU64]>,
    /// Of each endpoint the blocks that were new to it.
    clocks: Box<[AtomicU32]>,
    entries: u32,
}

/// An entry: 40 bits of the hash, 12 of the endpoint's position and 12 of its age.
#[derive(Clone, Copy)]
struct Slot(u64);

impl Slot {
    fn new(block: u64, endpoint: usize, age: u32) -> Self {
        let endpoint = (endpoint as u64 + 1) << 12;
        Self(block & !0xff_ffff | endpoint | u64::from(age % AGES_TOLD))
    }

    fn is_of(self, block: u64) -> bool {
        self.0 >> 24 == block >> 24 && self.0 & 0xfff_000 != 0
    }

    /// `None` if it is empty.
    fn endpoint(self) -> Option<usize> {
        (((self.0 >> 12) & 0xfff) as usize).checked_sub(1)
    }

    fn age(self) -> u32 {
        (self.0 & 0xfff) as u32
    }

    /// The hash, as far as it was kept.
    fn block(self) -> u64 {
        self.0 & !0xff_ffff
    }
}

/// An endpoint that has seen the first `blocks` of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) endpoint: usize,
    pub(super) blocks: usize,
}

impl Prefixes {
    /// For this many endpoints, with up to this many blocks for each.
    pub(super) fn new(endpoints: usize, entries: u32) -> Self {
        let endpoints = endpoints.min(MOST_ENDPOINTS);
        // A third more than is kept, since not all lines fill alike.
        let slots = (endpoints * entries as usize * 4 / 3).div_ceil(WAYS) * WAYS;
        Self {
            slots: (0..slots).map(|_| AtomicU64::new(0)).collect(),
            clocks: (0..endpoints).map(|_| AtomicU32::new(0)).collect(),
            entries,
        }
    }

    /// Takes over what `old` knows of the endpoints; `position` is that of an old one here.
    pub(super) fn inherit(&self, old: &Self, position: impl Fn(usize) -> Option<usize>) {
        for slot in &old.slots {
            let slot = Slot(slot.load(Ordering::Relaxed));
            let Some(endpoint) = slot.endpoint() else {
                continue;
            };
            if !old.is_stale(slot, endpoint)
                && let Some(endpoint) = position(endpoint).filter(|&new| self.has_place_for(new))
            {
                self.remember_block(slot.block(), endpoint);
            }
        }
    }

    /// Whether it is among the endpoints that can be told apart.
    fn has_place_for(&self, endpoint: usize) -> bool {
        endpoint < self.clocks.len()
    }

    /// The eight places of a block: by the part of the hash that is kept, so that entries can move
    /// to a table of another size.
    fn line(&self, block: u64) -> &[AtomicU64] {
        let lines = self.slots.len() / WAYS;
        let line = (u128::from(block & !0xff_ffff) * lines as u128) >> 64;
        let start = line as usize * WAYS;
        self.slots.get(start..start + WAYS).unwrap_or_default()
    }

    fn age(&self, endpoint: usize) -> u32 {
        let clock = self.clocks.get(endpoint);
        let new = clock.map_or(0, |clock| clock.load(Ordering::Relaxed));
        (u64::from(new) * u64::from(AGES) / u64::from(self.entries.max(1))) as u32 % AGES_TOLD
    }

    /// Whether so much has been new to the endpoint since then that its engine will
    /// have forgotten it.
    fn is_stale(&self, slot: Slot, endpoint: usize) -> bool {
        self.since(slot, endpoint) > AGES
    }

    fn since(&self, slot: Slot, endpoint: usize) -> u32 {
        (self.age(endpoint) + AGES_TOLD - slot.age()) % AGES_TOLD
    }

    /// The endpoints that have seen this block.
    fn holders(&self, block: u64) -> impl Iterator<Item = usize> {
        let slots = self.line(block).iter();
        let slots = slots.map(|slot| Slot(slot.load(Ordering::Relaxed)));
        let slots = slots.filter(move |slot| slot.is_of(block));
        slots.filter_map(|slot| {
            let endpoint = slot.endpoint()?;
            (!self.is_stale(slot, endpoint)).then_some(endpoint)
        })
    }

    /// Calls `holder` with endpoints that have seen the prompt's beginning, those with the most of
    /// it first, until it returns `true`.
    ///
    /// The longest beginning that anyone has seen is searched for by halving, since whoever has
    /// seen a block has seen those before it. Those that have seen less are found at the halves,
    /// or at the first block.
    pub(super) fn search(&self, prompt: &Prompt, mut holder: impl FnMut(Holder) -> bool) {
        let (mut known, mut unknown) = (0, prompt.len() + 1);
        // The lengths at which there are holders, in ascending order: at most 64 halvings.
        let mut lengths = [0_usize; 65];
        let mut found = 0;
        let mut middle = 1;
        while unknown - known > 1 {
            let block = prompt.at(middle - 1);
            match block.and_then(|block| self.holders(block).next()) {
                Some(_) => {
                    known = middle;
                    if let Some(length) = lengths.get_mut(found) {
                        *length = middle;
                        found += 1;
                    }
                }
                None => unknown = middle,
            }
            middle = known + (unknown - known) / 2;
        }
        for &blocks in lengths.iter().take(found).rev() {
            let block = prompt.at(blocks - 1);
            for endpoint in block.into_iter().flat_map(|block| self.holders(block)) {
                if holder(Holder { endpoint, blocks }) {
                    return;
                }
            }
        }
    }

    /// How many blocks of the prompt the endpoint has seen.
    fn seen(&self, prompt: &Prompt, endpoint: usize) -> usize {
        let is_seen = |length: usize| {
            let block = prompt.at(length - 1);
            block.is_some_and(|block| self.holders(block).any(|holder| holder == endpoint))
        };
        let (mut known, mut unknown) = (0, prompt.len() + 1);
        while unknown - known > 1 {
            let middle = known + (unknown - known) / 2;
            match is_seen(middle) {
                true => known = middle,
                false => unknown = middle,
            }
        }
        known
    }

    /// How many tokens of the prompt the endpoint's engine has computed before.
    pub(super) fn cached(&self, prompt: &Prompt, endpoint: usize) -> u64 {
        prompt.tokens(self.seen(prompt, endpoint))
    }

    /// The prompt goes to this endpoint.
    pub(super) fn remember(&self, prompt: &Prompt, endpoint: usize) {
        if !self.has_place_for(endpoint) {
            return;
        }
        for position in 0..prompt.len() {
            if let Some(block) = prompt.at(position) {
                self.remember_block(block, endpoint);
            }
        }
    }

    fn remember_block(&self, block: u64, endpoint: usize) {
        let new = Slot::new(block, endpoint, self.age(endpoint));
        let line = self.line(block);
        let mut oldest = None;
        for place in line {
            let slot = Slot(place.load(Ordering::Relaxed));
            let age = match slot.endpoint() {
                Some(owner) if owner == endpoint && slot.is_of(block) => {
                    place.store(new.0, Ordering::Relaxed);
                    return;
                }
                Some(owner) => self.since(slot, owner).min(AGES + 1),
                None => AGES_TOLD,
            };
            if oldest.is_none_or(|(_, most)| age > most) {
                oldest = Some((place, age));
            }
        }
        if let Some((place, _)) = oldest {
            place.store(new.0, Ordering::Relaxed);
            if let Some(clock) = self.clocks.get(endpoint) {
                clock.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The endpoint that has seen the most of the prompt, unless its load is above that of the
    /// `least` loaded one by more tokens than it saves.
    pub(super) fn pick(
        &self,
        prompt: &Prompt,
        least: usize,
        scene: &Scene<'_>,
        weight: impl Fn(usize) -> u64,
        usable: impl Fn(usize) -> bool,
    ) -> usize {
        // The load of an endpoint of the weight 1.
        let load = |i: usize| scene.tokens(i) / weight(i).max(1);
        let floor = load(least);
        let mut best: Option<(Holder, u64)> = None;
        self.search(prompt, |holder| {
            let is_shorter = |&(best, _): &(Holder, u64)| holder.blocks < best.blocks;
            if best.as_ref().is_some_and(is_shorter) {
                return true;
            }
            let load = load(holder.endpoint);
            let is_worth_it = load <= floor.saturating_add(prompt.tokens(holder.blocks));
            let is_better = best.is_none_or(|(_, least)| load < least);
            if is_worth_it && is_better && usable(holder.endpoint) {
                best = Some((holder, load));
            }
            false
        });
        best.map_or(least, |(holder, _)| holder.endpoint)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{BLOCK, hash};

    fn prompt(blocks: impl IntoIterator<Item = u64>) -> Prompt {
        // As the reader does, each covers those before it.
        let chain = blocks.into_iter().scan(0, |chain, block| {
            *chain = hash(*chain, &u64::to_le_bytes(block));
            Some(*chain)
        });
        Prompt::new(chain.collect(), "m", 4.0)
    }

    fn found(prefixes: &Prefixes, prompt: &Prompt) -> Vec<Holder> {
        let mut found = Vec::new();
        prefixes.search(prompt, |holder| {
            found.push(holder);
            false
        });
        found
    }

    #[test]
    fn who_has_seen_the_most_is_found_first() {
        let prefixes = Prefixes::new(3, 1000);
        prefixes.remember(&prompt(0..4), 0);
        prefixes.remember(&prompt(0..9), 2);
        let first = found(&prefixes, &prompt(0..20));
        assert_eq!(
            first.first(),
            Some(&Holder {
                endpoint: 2,
                blocks: 9
            })
        );
        assert!(first.iter().any(|holder| holder.endpoint == 0));
        assert_eq!(prefixes.cached(&prompt(0..20), 2), 9 * BLOCK as u64 / 4);
        assert_eq!(prefixes.cached(&prompt(0..20), 0), 4 * BLOCK as u64 / 4);
        assert_eq!(prefixes.cached(&prompt(0..20), 1), 0);
        assert_eq!(found(&prefixes, &prompt(1..20)), []);
        assert_eq!(found(&prefixes, &prompt([])), []);
    }

    #[test]
    fn a_conversation_that_branches_off_has_its_beginning() {
        let prefixes = Prefixes::new(2, 1000);
        prefixes.remember(&prompt((0..10).chain(100..110)), 1);
        let branch = prompt((0..10).chain(200..205));
        assert_eq!(prefixes.seen(&branch, 1), 10);
    }

    #[test]
    fn another_model_has_seen_nothing() {
        let prefixes = Prefixes::new(1, 1000);
        prefixes.remember(&prompt(0..10), 0);
        let chain = prompt(0..10);
        assert!(!found(&prefixes, &chain).is_empty());
        assert_eq!(found(&prefixes, &chain.of("other")), []);
    }

    #[test]
    fn what_was_not_used_for_longest_is_forgotten() {
        let prefixes = Prefixes::new(2, 800);
        let (kept, lost) = (prompt(0..50), prompt(1000..1050));
        prefixes.remember(&kept, 0);
        prefixes.remember(&lost, 0);
        for more in 1..40 {
            prefixes.remember(&prompt(more * 10_000..more * 10_000 + 40), 0);
            prefixes.remember(&kept, 0);
        }
        assert_eq!(prefixes.seen(&lost, 0), 0);
        assert!(prefixes.seen(&kept, 0) > 45);
    }

    /// Its size is a figure of the documentation.
    #[test]
    fn an_entry_takes_eleven_bytes() {
        for (endpoints, entries) in [(1, 64), (8, 4096), (1000, 100), (100_000, 1)] {
            let prefixes = Prefixes::new(endpoints, entries);
            let bytes = size_of_val(&*prefixes.slots) as f64;
            let kept = (endpoints.min(MOST_ENDPOINTS) * entries as usize) as f64;
            assert!(bytes <= kept * 10.7 + 64.0, "{endpoints} {entries} {bytes}");
        }
    }

    #[test]
    fn endpoints_that_move_keep_what_they_have_seen() {
        let old = Prefixes::new(3, 100);
        old.remember(&prompt(0..20), 0);
        old.remember(&prompt(50..60), 1);
        old.remember(&prompt(100..120), 2);
        let new = Prefixes::new(5, 100);
        new.inherit(&old, |endpoint| [Some(4), None, Some(0)][endpoint]);
        assert_eq!(new.seen(&prompt(0..20), 4), 20);
        assert_eq!(new.seen(&prompt(100..120), 0), 20);
        assert_eq!(found(&new, &prompt(50..60)), []);
    }

    #[test]
    fn endpoints_that_move_beyond_the_most_are_forgotten() {
        let old = Prefixes::new(1, 100);
        old.remember(&prompt(0..20), 0);
        let new = Prefixes::new(MOST_ENDPOINTS + 1, 1);
        new.inherit(&old, |_| Some(MOST_ENDPOINTS));
        let mut slots = new.slots.iter();
        assert!(slots.all(|slot| slot.load(Ordering::Relaxed) == 0));
    }

    proptest! {
        /// Against a table of what each endpoint was sent, while nothing has to be forgotten.
        #[test]
        fn nothing_is_made_up_and_little_is_lost(
            sent in prop::collection::vec((0..3_usize, 0..4_u64, 1..12_u64, 0..6_u64), 0..20),
            asked in (0..4_u64, 1..12_u64, 0..6_u64),
        ) {
            let of = |(conversation, turns, branch): (u64, u64, u64)| {
                let own = (0..turns).map(move |turn| conversation * 100 + turn);
                let own = own.chain([branch * 10_000, branch * 10_000 + 1]);
                std::iter::once(0).chain(own).collect::<Vec<_>>()
            };
            let prefixes = Prefixes::new(3, 1000);
            let sent: Vec<_> = sent.into_iter().map(|(endpoint, a, b, c)| (endpoint, of((a, b, c)))).collect();
            for (endpoint, blocks) in &sent {
                prefixes.remember(&prompt(blocks.iter().copied()), *endpoint);
            }
            let asked = of(asked);
            for endpoint in 0..3 {
                let common = |blocks: &[u64]| asked.iter().zip(blocks).take_while(|(a, b)| a == b).count();
                let most = sent.iter().filter(|sent| sent.0 == endpoint).map(|sent| common(&sent.1)).max().unwrap_or(0);
                prop_assert_eq!(prefixes.seen(&prompt(asked.iter().copied()), endpoint), most);
            }
        }

        #[test]
        fn any_blocks_do_no_harm(
            endpoints in 0..5_usize,
            entries in 0..20_u32,
            blocks in prop::collection::vec(any::<u64>(), 0..200),
            endpoint in 0..6_usize,
        ) {
            let prefixes = Prefixes::new(endpoints, entries);
            let prompt = Prompt::new(blocks.into(), "m", 0.0);
            prefixes.remember(&prompt, endpoint);
            for holder in found(&prefixes, &prompt) {
                prop_assert_eq!(holder.endpoint, endpoint);
            }
            prefixes.cached(&prompt, endpoint);
        }
    }
}
