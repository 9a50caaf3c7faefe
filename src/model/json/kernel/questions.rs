//! The masks that a kernel computes for 64 bytes.

use crate::model::json::block::{BLOCK, Brackets, Marks};

/// The questions that a machine's special instructions answer.
///
/// They are closures, because a closure within a function that may use AVX2
/// may use it as well, and is inlined there; methods that used it themselves could not be
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
    pub(crate) unusual: U,
    pub(crate) prefix_xor: P,
    pub(crate) plain: L,
}

/// A [`Kernel`], whatever its closures are.
pub(crate) trait Questions {
    fn marks(&self, block: &[u8; BLOCK]) -> Marks;

    fn brackets(&self, block: &[u8; BLOCK]) -> Brackets;

    /// The control characters and all non-ASCII bytes.
    fn unusual(&self, block: &[u8; BLOCK]) -> u64;

    /// Sets each bit to the parity of itself and the bits below it.
    fn prefix_xor(&self, bits: u64) -> u64;

    /// Whether there is neither a quote nor a backslash.
    fn plain(&self, block: &[u8; BLOCK]) -> bool;
}

impl<M, B, U, P, L> Questions for Kernel<M, B, U, P, L>
where
    M: Fn(&[u8; BLOCK]) -> Marks,
    B: Fn(&[u8; BLOCK]) -> Brackets,
    U: Fn(&[u8; BLOCK]) -> u64,
    P: Fn(u64) -> u64,
    L: Fn(&[u8; BLOCK]) -> bool,
{
    #[inline(always)]
    fn marks(&self, block: &[u8; BLOCK]) -> Marks {
        (self.marks)(block)
    }

    #[inline(always)]
    fn brackets(&self, block: &[u8; BLOCK]) -> Brackets {
        (self.brackets)(block)
    }

    #[inline(always)]
    fn unusual(&self, block: &[u8; BLOCK]) -> u64 {
        (self.unusual)(block)
    }

    #[inline(always)]
    fn prefix_xor(&self, bits: u64) -> u64 {
        (self.prefix_xor)(bits)
    }

    #[inline(always)]
    fn plain(&self, block: &[u8; BLOCK]) -> bool {
        (self.plain)(block)
    }
}

/// What is done with a kernel: generic over it, so that it is compiled for each machine's
/// instructions. (It has to be `#[inline(always)]`: only then it is part of the function that may
/// use them.)
pub(crate) trait Work {
    type Done;

    fn on(self, kernel: impl Questions) -> Self::Done;
}
