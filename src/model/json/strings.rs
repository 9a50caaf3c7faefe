use super::masks::Marks;

/// The bits of the bytes at even positions.
const EVEN: u64 = 0x5555_5555_5555_5555;

/// The state of string detection that is carried from one block to the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Strings {
    /// All ones if the next byte is inside a string, else 0.
    inside: u64,
    /// 1 if the next byte is escaped by the one before, else 0.
    pub(super) escaped: u64,
}

impl Strings {
    /// Behind the quote that begins a string.
    pub(super) const INSIDE: Self = Self {
        inside: u64::MAX,
        escaped: 0,
    };

    /// Processes a block. Returns the quotes that are not escaped,
    /// and the bytes in strings, including the opening quote but not the closing
    /// one.
    #[inline(always)]
    pub(super) fn pass(&mut self, marks: Marks, prefix_xor: impl Fn(u64) -> u64) -> (u64, u64) {
        let quotes = marks.quotes & !self.escaped_by(marks.backslashes);
        (quotes, self.pass_quotes(prefix_xor(quotes)))
    }

    /// Processes quotes that are not escaped, of which `parities` says for each byte how many there are
    /// up to it, even or odd. Returns the bytes in strings.
    #[inline(always)]
    pub(super) fn pass_quotes(&mut self, parities: u64) -> u64 {
        let inside = parities ^ self.inside;
        // The sign bit, which is the last byte's, is copied to all bits.
        self.inside = (inside.cast_signed() >> 63).cast_unsigned();
        inside
    }

    /// Whether the next byte is inside a string.
    #[inline(always)]
    pub(super) fn is_inside(&self) -> bool {
        self.inside != 0
    }

    /// Whether the next byte is inside a string, and not escaped.
    #[inline(always)]
    pub(super) fn is_in_text(&self) -> bool {
        self.inside & !self.escaped == u64::MAX
    }

    /// The bytes that a backslash escapes.
    ///
    /// In a run of backslashes the first escapes the second, and the third the
    /// fourth. The escaping ones are at even positions if the run begins at an
    /// even position, and otherwise at odd ones. Adding a run's first bit to the
    /// run carries through all of it and clears it. So adding only the beginnings
    /// at even positions clears the runs that begin there, and leaves those that
    /// begin at odd positions.
    #[inline(always)]
    fn escaped_by(&mut self, backslashes: u64) -> u64 {
        let runs = backslashes & !self.escaped;
        let beginnings = runs & !(runs << 1);
        let odd_runs = runs.wrapping_add(beginnings & EVEN);
        let escaping = runs & (odd_runs ^ EVEN);
        let escaped = escaping << 1 | self.escaped;
        self.escaped = escaping >> 63;
        escaped
    }
}
