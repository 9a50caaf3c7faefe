//! Eight bytes at a time, in a word. Answers are in the highest bit of each byte.

use super::masks::{Brackets, Marks};

const LOWEST: u64 = everywhere(1);
const HIGHEST: u64 = everywhere(0x80);
const LOW_BITS: u64 = everywhere(0x7f);

const fn everywhere(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Eight bytes, the first of them lowest.
#[derive(Clone, Copy)]
pub(super) struct Word(u64);

impl Word {
    pub(super) fn of(bytes: [u8; 8]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }

    /// Up to eight bytes, and zeros.
    #[inline(always)]
    pub(super) fn of_few(bytes: &[u8]) -> Self {
        // Copying them would cost more, and then the load waits for the copy.
        let next = |word, byte: &u8| word << 8 | u64::from(*byte);
        Self(bytes.iter().rev().fold(0, next))
    }

    /// Of the bytes in ASCII those that differ from a quote, and those that differ from a backslash.
    /// (The sums set the highest bit if any lower one is set, and carry nowhere.)
    fn others(self) -> (u64, u64) {
        let quote = (self.0 & LOW_BITS) ^ everywhere(b'"');
        let backslash = quote ^ everywhere(b'"' ^ b'\\');
        (quote + LOW_BITS, backslash + LOW_BITS)
    }

    /// Whether there is neither a quote nor a backslash.
    #[inline(always)]
    pub(super) fn has_no_marks(self) -> bool {
        let (quotes, backslashes) = self.others();
        (quotes & backslashes | self.0) & HIGHEST == HIGHEST
    }

    #[inline(always)]
    pub(super) fn marks(self) -> Marks {
        let (quotes, backslashes) = self.others();
        Marks {
            quotes: !(quotes | self.0) & HIGHEST,
            backslashes: !(backslashes | self.0) & HIGHEST,
        }
    }

    #[inline(always)]
    pub(super) fn brackets(self) -> Brackets {
        // Bit 5 is all that tells `[` from `{` and `]` from `}`. Opening ones become 0x80 and
        // closing ones 0x82, and other ASCII up to 0x84.
        let sum = (self.0 & LOW_BITS | everywhere(0x20)) + everywhere(0x80 - b'{');
        let brackets = sum & !(sum << 7 | sum << 5 | self.0) & HIGHEST;
        let closing = brackets & sum << 6;
        Brackets {
            opening: brackets ^ closing,
            closing,
        }
    }

    /// The first byte that can't be part of a string as it is: a quote, a backslash, a control
    /// character, or what is not ASCII.
    #[inline(always)]
    pub(super) fn special(self) -> Option<usize> {
        let printable = (self.0 & LOW_BITS) + everywhere(0x80 - b' ');
        let (quotes, backslashes) = self.others();
        let special = (!(quotes & backslashes & printable) | self.0) & HIGHEST;
        (special != 0).then(|| special.trailing_zeros() as usize / 8)
    }
}

/// Sets each byte's highest bit to the parity of those of itself and the bytes below it.
#[inline(always)]
pub(super) fn parities(bits: u64) -> u64 {
    // Carries go to the lower bits of the next byte, and eight of them don't reach the highest.
    bits.wrapping_mul(LOWEST)
}

/// How many bytes have their highest bit set; others are 0.
#[inline(always)]
pub(super) fn count(bits: u64) -> u64 {
    (bits >> 7).wrapping_mul(LOWEST) >> 56
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The highest bit of each byte for which this holds.
    fn naive(bytes: [u8; 8], holds: impl Fn(u8) -> bool) -> u64 {
        u64::from_le_bytes(bytes.map(|byte| if holds(byte) { 0x80 } else { 0 }))
    }

    fn byte() -> impl Strategy<Value = u8> {
        prop_oneof![any::<u8>(), prop::sample::select(&b"\"\\{}[]"[..])]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_word_says_the_same_as_its_bytes(bytes in prop::array::uniform8(byte())) {
            let word = Word::of(bytes);
            let marks = word.marks();
            prop_assert_eq!(marks.quotes, naive(bytes, |byte| byte == b'"'));
            prop_assert_eq!(marks.backslashes, naive(bytes, |byte| byte == b'\\'));
            prop_assert_eq!(word.has_no_marks(), marks.quotes | marks.backslashes == 0);
            let brackets = word.brackets();
            prop_assert_eq!(brackets.opening, naive(bytes, |byte| matches!(byte, b'{' | b'[')));
            prop_assert_eq!(brackets.closing, naive(bytes, |byte| matches!(byte, b'}' | b']')));
            let special = bytes.iter().position(|byte| matches!(byte, ..0x20 | b'"' | b'\\' | 0x80..));
            prop_assert_eq!(word.special(), special);
        }

        #[test]
        fn masks_of_words_are_counted(bytes in prop::array::uniform8(any::<bool>())) {
            let mask = naive(bytes.map(u8::from), |byte| byte == 1);
            prop_assert_eq!(count(mask), u64::from(mask.count_ones()));
            let parity = |at: usize| bytes[..=at].iter().filter(|set| **set).count() as u8 % 2;
            let expected = naive([0, 1, 2, 3, 4, 5, 6, 7].map(parity), |parity| parity == 1);
            prop_assert_eq!(parities(mask) & HIGHEST, expected);
        }
    }
}
