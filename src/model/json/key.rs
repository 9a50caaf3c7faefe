//! Whether a key is the one that is looked for.

/// How a key compares with the one that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Other,
    Same,
    /// Equal but for case: readers written in Go take such a key for the same.
    OtherCase,
}

impl Key {
    /// Compares a key that has no escapes.
    #[inline(never)]
    pub(super) fn of_plain(text: &[u8], field: &str) -> Self {
        let mut reading = KeyReading::default();
        reading.read(text, field);
        reading.end(field)
    }
}

/// How far a key that is read in pieces equals the wanted one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyReading {
    /// How many bytes of the wanted key have been matched.
    matched: usize,
    differs: bool,
    differs_in_case: bool,
    /// A character of which not all bytes have been read.
    cut: [u8; 4],
    cut_len: u8,
}

impl KeyReading {
    /// Reads a decoded part, which may end within a character.
    #[inline]
    pub(super) fn read(&mut self, part: &[u8], field: &str) {
        if self.differs {
            return;
        }
        let rest = field.as_bytes().get(self.matched..).unwrap_or_default();
        if self.cut_len == 0 && rest.starts_with(part) && part.is_ascii() {
            self.matched += part.len();
            return;
        }
        self.compare(part, field);
    }

    #[inline(never)]
    fn compare(&mut self, part: &[u8], field: &str) {
        for &byte in part {
            if self.differs {
                return;
            }
            if byte.is_ascii() && self.cut_len == 0 {
                self.ascii(byte, field);
                continue;
            }
            // The text is checked as UTF-8 before it comes here, so four bytes are enough.
            let Some(free) = self.cut.get_mut(usize::from(self.cut_len)) else {
                self.differs = true;
                return;
            };
            *free = byte;
            self.cut_len += 1;
            let read = self
                .cut
                .get(..usize::from(self.cut_len))
                .map(std::str::from_utf8);
            if let Some(Ok(text)) = read
                && let Some(character) = text.chars().next()
            {
                self.cut_len = 0;
                self.character(character, field);
            }
        }
    }

    fn ascii(&mut self, read: u8, field: &str) {
        match field.as_bytes().get(self.matched) {
            Some(&wanted) if wanted == read => self.matched += 1,
            Some(wanted) if wanted.is_ascii() && wanted.eq_ignore_ascii_case(&read) => {
                self.differs_in_case = true;
                self.matched += 1;
            }
            Some(wanted) if wanted.is_ascii() => self.differs = true,
            _ => self.character(char::from(read), field),
        }
    }

    fn character(&mut self, read: char, field: &str) {
        let rest = field.get(self.matched..).unwrap_or_default();
        let Some(wanted) = rest.chars().next() else {
            self.differs = true;
            return;
        };
        self.differs_in_case |= read != wanted;
        self.differs = read != wanted && !is_same_but_for_case(read, wanted);
        self.matched += wanted.len_utf8();
    }

    pub(super) fn end(&self, field: &str) -> Key {
        if self.differs || self.matched < field.len() {
            Key::Other
        } else if self.differs_in_case {
            Key::OtherCase
        } else {
            Key::Same
        }
    }
}

/// Both cases are compared: the Kelvin sign has only the lower case of `k`, and `ſ` only the upper
/// one of `s`. Go's encoding/json takes either for the same.
fn is_same_but_for_case(one: char, other: char) -> bool {
    one.to_lowercase().eq(other.to_lowercase()) || one.to_uppercase().eq(other.to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(key: &str, field: &str, cut: usize) -> Key {
        let mut reading = KeyReading::default();
        let (before, after) = key.as_bytes().split_at(cut);
        reading.read(before, field);
        reading.read(after, field);
        reading.end(field)
    }

    #[test]
    fn case_is_that_of_unicode() {
        for (key, field, expected) in [
            ("model", "model", Key::Same),
            ("Model", "model", Key::OtherCase),
            ("MODEL", "model", Key::OtherCase),
            ("models", "model", Key::Other),
            ("mode", "model", Key::Other),
            ("", "model", Key::Other),
            ("mödel", "model", Key::Other),
            ("task", "task", Key::Same),
            ("taſ\u{212a}", "task", Key::OtherCase),
            ("GRÖSSE", "größe", Key::Other),
            ("GRÖẞE", "größe", Key::OtherCase),
            ("größe", "größe", Key::Same),
        ] {
            for cut in 0..=key.len() {
                assert_eq!(compare(key, field, cut), expected, "{key} {field} {cut}");
            }
        }
    }
}
