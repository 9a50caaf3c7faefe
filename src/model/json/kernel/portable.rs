use super::questions::{Kernel, Work};
use crate::model::json::block::{BLOCK, Brackets, Marks};

/// The kernel for all other machines: it handles eight bytes at a time, in a word.
pub(super) fn run<W: Work>(work: W) -> W::Done {
    work.on(Kernel {
        marks: |block| Marks {
            quotes: equal(block, 0, b'"'),
            backslashes: equal(block, 0, b'\\'),
        },
        // Bit 5 is all that tells `[` from `{` and `]` from `}`.
        brackets: |block| Brackets {
            opening: equal(block, 0x20, b'{'),
            closing: equal(block, 0x20, b'}'),
        },
        plain: |block| equal(block, 0, b'"') | equal(block, 0, b'\\') == 0,
        unusual: |block| {
            (0..).zip(block).fold(0, |mask, (at, byte)| {
                mask | u64::from(!matches!(byte, 0x20..=0x7f)) << at
            })
        },
        prefix_xor,
    })
}

pub(super) fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

/// The bytes that equal `byte` once the bits of `fold` are set.
fn equal(block: &[u8; BLOCK], fold: u8, byte: u8) -> u64 {
    const LOW_BITS: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    /// Gathers the lowest bits of the eight bytes in the highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let everywhere = |byte| u64::from_le_bytes([byte; 8]);
    let mut mask = 0;
    for (at, bytes) in (0..).step_by(8).zip(block.as_chunks().0) {
        let other = (u64::from_le_bytes(*bytes) | everywhere(fold)) ^ everywhere(byte);
        // The addition sets a byte's highest bit if any lower one is set, and carries nowhere.
        let differs = ((other & LOW_BITS) + LOW_BITS) | other;
        let same = !differs >> 7 & everywhere(1);
        mask |= same.wrapping_mul(GATHER) >> 56 << at;
    }
    mask
}
