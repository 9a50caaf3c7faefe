//! An engine's KV blocks, of which those that nobody uses are the prefix cache.

use std::collections::{BTreeMap, HashMap};

/// Tokens of a block, as vLLM has it.
pub const BLOCK: usize = 16;

/// A block is known by a hash that covers all before it.
pub struct Kv {
    capacity: usize,
    cached: HashMap<u64, Entry>,
    /// Those that nobody uses, by when they were given back.
    unused: BTreeMap<u64, u64>,
    /// Blocks in use whose tokens are not there yet.
    reserved: usize,
    clock: u64,
}

#[derive(Default)]
struct Entry {
    users: usize,
    given_back: u64,
}

impl Kv {
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            cached: HashMap::new(),
            unused: BTreeMap::new(),
            reserved: 0,
            clock: 0,
        }
    }

    /// How many blocks of a prompt are there.
    pub fn matched(&self, chain: &[u64]) -> usize {
        let is_there = |hash: &&u64| self.cached.contains_key(*hash);
        chain.iter().take_while(is_there).count()
    }

    /// Takes the blocks `known`, which are there, and room for `more`; `false` if there is none.
    pub fn take(&mut self, known: &[u64], more: usize) -> bool {
        let is_unused = |hash: &&u64| self.cached.get(*hash).is_some_and(|it| it.users == 0);
        let evictable = self.unused.len() - known.iter().filter(is_unused).count();
        let used = self.cached.len() - evictable + self.reserved;
        if used + more > self.capacity {
            return false;
        }
        known.iter().for_each(|&hash| self.add_user(hash));
        self.reserved += more;
        while self.cached.len() + self.reserved > self.capacity {
            if let Some((_, hash)) = self.unused.pop_first() {
                self.cached.remove(&hash);
            }
        }
        true
    }

    /// A reserved block has been computed.
    pub fn computed(&mut self, hash: u64) {
        self.reserved -= 1;
        self.add_user(hash);
    }

    /// A request has ended: it used the first blocks of a chain, which have all been computed, and
    /// had reserved more than that.
    pub fn end(&mut self, chain: &[u64], reserved: usize) {
        self.reserved -= reserved;
        // The end of a prompt goes before its beginning.
        for &hash in chain.iter().rev() {
            self.clock += 1;
            let clock = self.clock;
            if let Some(entry) = self.cached.get_mut(&hash) {
                entry.users -= 1;
                if entry.users == 0 {
                    entry.given_back = clock;
                    self.unused.insert(clock, hash);
                }
            }
        }
    }

    fn add_user(&mut self, hash: u64) {
        let entry = self.cached.entry(hash).or_default();
        if entry.users == 0 {
            self.unused.remove(&entry.given_back);
        }
        entry.users += 1;
    }
}
