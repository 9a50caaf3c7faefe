//! Finds bytes in text that is usually short.

use memchr::memchr2;

/// The bytes that are searched eight at a time: a call of memchr costs as much as these.
const SHORT: usize = 32;

/// The first quote or backslash: what ends a piece of a JSON string.
#[inline]
pub(crate) fn quote_or_backslash(text: &[u8]) -> Option<usize> {
    let (short, long) = text.split_at(text.len().min(SHORT));
    first_of(short, [b'"', b'\\']).or_else(|| Some(short.len() + memchr2(b'"', b'\\', long)?))
}

/// The first of these bytes.
#[inline]
pub(crate) fn first_of<const N: usize>(text: &[u8], wanted: [u8; N]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    let (words, rest) = text.as_chunks();
    for (at, bytes) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*bytes);
        // The lowest bit that is set is that of the first byte that is 0; those above it may be wrong.
        let zeros = |byte: u8| {
            let other = word ^ (ONES * u64::from(byte));
            other.wrapping_sub(ONES) & !other & HIGHS
        };
        let found = wanted
            .into_iter()
            .fold(0, |found, byte| found | zeros(byte));
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let found = rest.iter().position(|byte| wanted.contains(byte))?;
    Some(text.len() - rest.len() + found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_first_wherever_it_is(text in prop::collection::vec(any::<u8>(), 0..80), common in "[a\"\\\\!#\\]\\[]{0,80}") {
            for text in [&text[..], common.as_bytes()] {
                let first = |wanted: &[u8]| text.iter().position(|byte| wanted.contains(byte));
                prop_assert_eq!(quote_or_backslash(text), first(b"\"\\"));
                prop_assert_eq!(first_of(text, [b'"', b'\n', 0x80]), first(&[b'"', b'\n', 0x80]));
            }
        }
    }
}
