//! One hash for all keys, the same in every version and process.

use twox_hash::XxHash64;

/// The hash of keys and points: XXH64 with a seed.
///
/// It is the same in every version, on every machine and in every process, so
/// that gateways with the same table agree, and keep agreeing over updates.
pub(crate) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    XxHash64::oneshot(seed, bytes)
}
