//! A key or a short value of JSON, decoded as it arrives.

/// More than any name that is looked for.
const MAX: usize = 48;

/// The decoded text so far. Longer ones are no word that is looked for, and escapes of anything
/// but ASCII become a byte that no name has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    text: [u8; MAX],
    len: u8,
    is_too_long: bool,
    escape: Escape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    None,
    Begun,
    /// This many digits of `\uXXXX` have been read.
    Hex(u8, u16),
}

/// Part of no name.
const FOREIGN: u8 = 0xff;

impl Word {
    pub(super) const EMPTY: Self = Self {
        text: [0; MAX],
        len: 0,
        is_too_long: false,
        escape: Escape::None,
    };

    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.is_too_long = false;
        self.escape = Escape::None;
    }

    /// The word, unless it was too long.
    pub(super) fn text(&self) -> &[u8] {
        let text = self.text.get(..usize::from(self.len));
        text.filter(|_| !self.is_too_long).unwrap_or_default()
    }

    /// Adds text that has no escapes.
    pub(super) fn push(&mut self, plain: &[u8]) {
        let from = usize::from(self.len);
        match self.text.get_mut(from..from + plain.len()) {
            Some(room) => {
                room.copy_from_slice(plain);
                self.len += plain.len() as u8;
            }
            None => self.is_too_long = true,
        }
    }

    /// Adds text with its escapes.
    pub(super) fn decode(&mut self, raw: &[u8]) {
        for &byte in raw {
            self.escape = match (self.escape, byte) {
                (Escape::None, b'\\') => Escape::Begun,
                (Escape::None, _) => self.add(byte),
                (Escape::Begun, b'u') => Escape::Hex(0, 0),
                (Escape::Begun, b'b' | b'f' | b'n' | b'r' | b't') => self.add(FOREIGN),
                (Escape::Begun, _) => self.add(byte),
                (Escape::Hex(read, value), _) => {
                    let digit = char::from(byte).to_digit(16).unwrap_or(0xf) as u16;
                    let value = value << 4 | digit;
                    match read {
                        3 => self.add(u8::try_from(value).unwrap_or(FOREIGN)),
                        _ => Escape::Hex(read + 1, value),
                    }
                }
            };
        }
    }

    fn add(&mut self, byte: u8) -> Escape {
        self.push(&[byte]);
        Escape::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_names_wherever_they_are_cut() {
        for (raw, text) in [
            (&br"content"[..], &b"content"[..]),
            (br"\u0063ontent", b"content"),
            (br"con\u0074en\u0074", b"content"),
            (br"a\/b\\\u0022", br#"a/b\""#),
            (br"\u20acx", b"\xffx"),
            (&[b'x'; 49], b""),
        ] {
            for cut in 0..=raw.len() {
                let mut word = Word::EMPTY;
                word.decode(&raw[..cut]);
                word.decode(&raw[cut..]);
                assert_eq!(word.text(), text);
            }
        }
    }
}
