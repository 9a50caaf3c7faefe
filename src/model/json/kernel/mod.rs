//! How 64 bytes become bitmasks, as fast as the machine at hand can.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod machine;
mod portable;
#[cfg(target_arch = "x86_64")]
mod sse2;

pub(super) use machine::Machine;

use super::block::{BLOCK, Brackets, Marks};

/// The three questions that a machine's special instructions answer.
///
/// They are closures, because a closure within a function that may use AVX2
/// may use it as well, and is inlined there; methods of a trait could not be
/// without `unsafe`.
pub(super) struct Kernel<M, B, U, P, L>
where
    M: Fn(&[u8; BLOCK]) -> Marks,
    B: Fn(&[u8; BLOCK]) -> Brackets,
    U: Fn(&[u8; BLOCK]) -> u64,
    P: Fn(u64) -> u64,
    L: Fn(&[u8; BLOCK]) -> bool,
{
    pub(super) marks: M,
    pub(super) brackets: B,
    /// The control characters, and all that is not ASCII.
    pub(super) unusual: U,
    /// Each bit the parity of itself and the bits below.
    pub(super) prefix_xor: P,
    pub(super) plain: L,
}
