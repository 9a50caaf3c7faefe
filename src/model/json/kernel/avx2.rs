use std::arch::x86_64::*;

use super::questions::{Kernel, Work};
use crate::model::json::masks::{BLOCK, Brackets, Marks};

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,pclmulqdq")]
pub(super) fn run<W: Work>(work: W) -> W::Done {
    work.on(Kernel {
        marks: |block| {
            let halves = load(block);
            Marks {
                quotes: equal(halves, b'"'),
                backslashes: equal(halves, b'\\'),
            }
        },
        brackets: |block| {
            // Bit 5 is all that tells `[` from `{` and `]` from `}`.
            let folded = load(block).map(|half| _mm256_or_si256(half, _mm256_set1_epi8(0x20)));
            Brackets {
                opening: equal(folded, b'{'),
                closing: equal(folded, b'}'),
            }
        },
        plain: |block| {
            let [low, high] = load(block).map(|half| {
                _mm256_or_si256(
                    _mm256_cmpeq_epi8(half, _mm256_set1_epi8(b'"'.cast_signed())),
                    _mm256_cmpeq_epi8(half, _mm256_set1_epi8(b'\\'.cast_signed())),
                )
            });
            _mm256_movemask_epi8(_mm256_or_si256(low, high)) == 0
        },
        // Multiplying without carries by all ones.
        prefix_xor: |bits| {
            let product =
                _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, bits.cast_signed()), _mm_set1_epi8(-1));
            _mm_cvtsi128_si64(product).cast_unsigned()
        },
    })
}

#[target_feature(enable = "avx2")]
fn load(block: &[u8; BLOCK]) -> [__m256i; 2] {
    let mut words = [0; BLOCK / 8];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks().0) {
        *word = i64::from_le_bytes(*bytes);
    }
    let [a, b, c, d, e, f, g, h] = words;
    [_mm256_set_epi64x(d, c, b, a), _mm256_set_epi64x(h, g, f, e)]
}

#[target_feature(enable = "avx2")]
fn equal(halves: [__m256i; 2], byte: u8) -> u64 {
    let wanted = _mm256_set1_epi8(byte.cast_signed());
    masks(halves.map(|half| _mm256_cmpeq_epi8(half, wanted)))
}

#[target_feature(enable = "avx2")]
fn masks(halves: [__m256i; 2]) -> u64 {
    let [low, high] = halves.map(|half| u64::from(_mm256_movemask_epi8(half).cast_unsigned()));
    low | high << 32
}
