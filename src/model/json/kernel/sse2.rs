use std::arch::x86_64::*;

use super::questions::{Kernel, Work};
use crate::model::json::masks::{BLOCK, Brackets, Marks};

/// The kernel for x86-64, which always has SSE2.
#[target_feature(enable = "sse2")]
pub(super) fn run<W: Work>(work: W) -> W::Done {
    work.on(Kernel {
        marks: |block| {
            let quarters = load(block);
            Marks {
                quotes: equal(quarters, b'"'),
                backslashes: equal(quarters, b'\\'),
            }
        },
        brackets: |block| {
            // Bit 5 is all that tells `[` from `{` and `]` from `}`.
            let folded = load(block).map(|quarter| _mm_or_si128(quarter, _mm_set1_epi8(0x20)));
            Brackets {
                opening: equal(folded, b'{'),
                closing: equal(folded, b'}'),
            }
        },
        plain: |block| {
            let [a, b, c, d] = load(block).map(|half| {
                _mm_or_si128(
                    _mm_cmpeq_epi8(half, _mm_set1_epi8(b'"'.cast_signed())),
                    _mm_cmpeq_epi8(half, _mm_set1_epi8(b'\\'.cast_signed())),
                )
            });
            _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d))) == 0
        },
        prefix_xor: |mut bits| {
            for shift in [1, 2, 4, 8, 16, 32] {
                bits ^= bits << shift;
            }
            bits
        },
    })
}

#[target_feature(enable = "sse2")]
fn load(block: &[u8; BLOCK]) -> [__m128i; 4] {
    let mut words = [0; BLOCK / 8];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks().0) {
        *word = i64::from_le_bytes(*bytes);
    }
    let [a, b, c, d, e, f, g, h] = words;
    [
        _mm_set_epi64x(b, a),
        _mm_set_epi64x(d, c),
        _mm_set_epi64x(f, e),
        _mm_set_epi64x(h, g),
    ]
}

#[target_feature(enable = "sse2")]
fn equal(quarters: [__m128i; 4], byte: u8) -> u64 {
    let wanted = _mm_set1_epi8(byte.cast_signed());
    masks(quarters.map(|quarter| _mm_cmpeq_epi8(quarter, wanted)))
}

#[target_feature(enable = "sse2")]
fn masks(quarters: [__m128i; 4]) -> u64 {
    let [a, b, c, d] = quarters.map(|q| u64::from(_mm_movemask_epi8(q).cast_unsigned()));
    a | b << 16 | c << 32 | d << 48
}
