use super::block::Marks;

/// The bits of the bytes at even places.
const EVEN: u64 = 0x5555_5555_5555_5555;

/// The beginnings and ends of strings: the state that a block takes from the one before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Strings {
    /// All ones if the next byte is inside a string, else 0.
    inside: u64,
    /// 1 if the next byte is escaped by the one before, else 0.
    escaped: u64,
}

impl Strings {
    /// Passes a block of `len` bytes: the quotes that are not escaped, and
    /// the bytes in strings, of which the opening quote is one and the closing
    /// quote is not.
    #[inline(always)]
    pub(super) fn pass(
        &mut self,
        marks: Marks,
        len: usize,
        prefix_xor: impl Fn(u64) -> u64,
    ) -> (u64, u64) {
        let quotes = marks.quotes & !self.escaped_by(marks.backslashes, len);
        let inside = prefix_xor(quotes) ^ self.inside;
        // The sign bit, the last byte's, spreads over all.
        self.inside = (inside.cast_signed() >> 63).cast_unsigned();
        (quotes, inside)
    }

    /// The bytes that a backslash escapes.
    ///
    /// Of a run of backslashes the first escapes the second, the third the
    /// fourth: the escaping ones are at even positions if the run begins at an
    /// even place, else at odd ones. Adding a run's first bit to the run
    /// carries through all of it and clears it. So after the sum with the even
    /// beginnings, a run's bits are gone if it began at an even place, and
    /// still there if at an odd one.
    #[inline(always)]
    fn escaped_by(&mut self, backslashes: u64, len: usize) -> u64 {
        let runs = backslashes & !self.escaped;
        let beginnings = runs & !(runs << 1);
        let odd_runs = runs.wrapping_add(beginnings & EVEN);
        let escaping = runs & (odd_runs ^ EVEN);
        let escaped = escaping << 1 | self.escaped;
        self.escaped = escaping >> (len - 1) & 1;
        escaped
    }
}
