//! The masks that a kernel computes for 64 bytes.

use crate::model::json::block::{BLOCK, Brackets, Marks};

/// The three questions that a machine's special instructions answer.
///
/// They are closures, because a closure within a function that may use AVX2
/// may use it as well, and is inlined there; methods of a trait could not be
/// without `unsafe`.
pub(crate) struct Kernel<M, B, U, P, L>
where
    M: Fn(&[u8; BLOCK]) -> Marks,
    B: Fn(&[u8; BLOCK]) -> Brackets,
    U: Fn(&[u8; BLOCK]) -> u64,
    P: Fn(u64) -> u64,
    L: Fn(&[u8; BLOCK]) -> bool,
{
    pub(crate) marks: M,
    pub(crate) brackets: B,
    /// The control characters and all non-ASCII bytes.
    pub(crate) unusual: U,
    /// Sets each bit to the parity of itself and the bits below it.
    pub(crate) prefix_xor: P,
    pub(crate) plain: L,
}

/// What is done with a kernel: generic over it, so that it is compiled for each machine's
/// instructions. (It has to be `#[inline(always)]`: only then it is part of the function that may
/// use them.)
pub(crate) trait Work {
    type Done;

    fn on<M, B, U, P, L>(self, kernel: Kernel<M, B, U, P, L>) -> Self::Done
    where
        M: Fn(&[u8; BLOCK]) -> Marks,
        B: Fn(&[u8; BLOCK]) -> Brackets,
        U: Fn(&[u8; BLOCK]) -> u64,
        P: Fn(u64) -> u64,
        L: Fn(&[u8; BLOCK]) -> bool;
}
