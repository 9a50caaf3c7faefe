//! The part of a request that an engine may have in its prefix cache.

use std::sync::{Arc, OnceLock};

use crate::model::{BLOCK, hash};

/// The beginning of a request's conversation, and how much of it a hash stands for.
#[derive(Clone, Debug)]
pub(crate) struct Prompt {
    blocks: Arc<[u64]>,
    /// Engines keep the same text apart by model and adapter.
    salt: u64,
    bytes_per_token: f64,
}

impl Prompt {
    pub(crate) fn new(blocks: Arc<[u64]>, model: &str, bytes_per_token: f64) -> Self {
        Self {
            blocks,
            salt: hash(seed(), model.as_bytes()),
            bytes_per_token,
        }
    }

    /// How many blocks it has.
    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// The tokens of this many blocks.
    pub(super) fn tokens(&self, blocks: usize) -> u64 {
        ((blocks * BLOCK) as f64 / self.bytes_per_token) as u64
    }

    /// The hash of a block.
    pub(super) fn at(&self, position: usize) -> Option<u64> {
        let block = self.blocks.get(position)?;
        Some((block ^ self.salt).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

#[cfg(test)]
impl Prompt {
    /// The same to another model.
    pub(super) fn of(&self, model: &str) -> Self {
        Self::new(Arc::clone(&self.blocks), model, self.bytes_per_token)
    }
}

/// Each process has its own, so that nobody can look for texts that share a hash.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| RandomState::new().hash_one(0))
}
