//! The masks that a kernel computes for 64 bytes.

use crate::model::json::masks::{BLOCK, Brackets, Marks};

/// The questions that a machine's special instructions answer.
///
/// They are closures, because a closure within a function that may use AVX2
/// may use it as well, and is inlined there; methods that used it themselves could not be
/// without `unsafe`.
pub(crate) struct Kernel<M, B, P, L>
where
    M: Fn(&[u8; BLOCK]) -> Marks,
    B: Fn(&[u8; BLOCK]) -> Brackets,
    P: Fn(u64) -> u64,
    L: Fn(&[u8; BLOCK]) -> bool,
{
    pub(crate) marks: M,
    pub(crate) brackets: B,
    pub(crate) prefix_xor: P,
    pub(crate) plain: L,
}

/// A [`Kernel`], whatever its closures are.
pub(crate) trait Questions {
    fn marks(&self, block: &[u8; BLOCK]) -> Marks;

    fn brackets(&self, block: &[u8; BLOCK]) -> Brackets;

    /// Sets each bit to the parity of itself and the bits below it.
    fn prefix_xor(&self, bits: u64) -> u64;

    /// Whether there is neither a quote nor a backslash.
    fn plain(&self, block: &[u8; BLOCK]) -> bool;
}

impl<M, B, P, L> Questions for Kernel<M, B, P, L>
where
    M: Fn(&[u8; BLOCK]) -> Marks,
    B: Fn(&[u8; BLOCK]) -> Brackets,
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
    fn prefix_xor(&self, bits: u64) -> u64 {
        (self.prefix_xor)(bits)
    }

    #[inline(always)]
    fn plain(&self, block: &[u8; BLOCK]) -> bool {
        (self.plain)(block)
    }
}

/// What a kernel is for.
pub(crate) trait Work {
    type Done;

    /// Generic over the kernel, so that it is compiled for each machine's instructions. (It has to be
    /// `#[inline(always)]`: only then it is part of the function that may use them.)
    fn on(self, kernel: impl Questions) -> Self::Done;

    /// The same without one.
    fn by_words(self) -> Self::Done;
}
