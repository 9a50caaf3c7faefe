//! Masks that mark which bytes are what.
//!
//! In the mask of a block each bit stands for a byte, in that of a word the highest bit of each eight.
//! The lowest is the first byte's.

/// The bytes of a block: as many as a mask has bits.
pub(super) const BLOCK: usize = 64;

/// Which bytes can begin, end or disguise a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) quotes: u64,
    pub(super) backslashes: u64,
}

/// Which bytes are brackets, square or curly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Brackets {
    pub(super) opening: u64,
    pub(super) closing: u64,
}

impl Brackets {
    #[inline(always)]
    pub(super) fn are_none(self) -> bool {
        self.opening | self.closing == 0
    }

    /// The brackets that are also in the mask.
    #[inline(always)]
    pub(super) fn within(self, mask: u64) -> Self {
        Self {
            opening: self.opening & mask,
            closing: self.closing & mask,
        }
    }
}
