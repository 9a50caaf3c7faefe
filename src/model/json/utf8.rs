/// Progress within one character of UTF-8, by the table of well-formed byte
/// sequences (table 3-7 of the Unicode Standard): only the second byte's range
/// depends on the first, which excludes overlong forms, surrogates and
/// everything past U+10FFFF.
#[derive(Clone, Copy, Debug)]
pub(super) struct Utf8 {
    missing: u8,
    next_from: u8,
    next_to: u8,
}

impl Utf8 {
    /// Between two characters.
    pub(super) const BOUNDARY: Self = Self::expecting(0, 0x80, 0xbf);

    const fn expecting(missing: u8, next_from: u8, next_to: u8) -> Self {
        Self {
            missing,
            next_from,
            next_to,
        }
    }

    pub(super) fn at_boundary(self) -> bool {
        self.missing == 0
    }

    /// The progress after one more byte, or `None` if it is not allowed there.
    pub(super) fn next(self, byte: u8) -> Option<Self> {
        if !self.at_boundary() {
            return (self.next_from..=self.next_to)
                .contains(&byte)
                .then(|| Self::expecting(self.missing - 1, 0x80, 0xbf));
        }
        Some(match byte {
            0x00..=0x7f => Self::BOUNDARY,
            0xc2..=0xdf => Self::expecting(1, 0x80, 0xbf),
            0xe0 => Self::expecting(2, 0xa0, 0xbf),
            0xed => Self::expecting(2, 0x80, 0x9f),
            0xe1..=0xef => Self::expecting(2, 0x80, 0xbf),
            0xf0 => Self::expecting(3, 0x90, 0xbf),
            0xf1..=0xf3 => Self::expecting(3, 0x80, 0xbf),
            0xf4 => Self::expecting(3, 0x80, 0x8f),
            _ => return None,
        })
    }
}
