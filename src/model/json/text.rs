use memchr::memchr;

use super::{utf8::Utf8, word::Word};

/// Decodes and checks the text of one string, in pieces cut anywhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    escape: Escape,
    /// The first half of a surrogate pair whose second half must come next; 0 for none.
    high: u16,
    utf8: Utf8,
}

#[derive(Clone, Copy, Debug)]
enum Escape {
    None,
    /// After a backslash.
    Begun,
    /// After `\u` and this many hexadecimal digits, whose value is `code`.
    Unicode {
        digits: u8,
        code: u16,
    },
}

impl Text {
    pub(super) const EMPTY: Self = Self {
        escape: Escape::None,
        high: 0,
        utf8: Utf8::BOUNDARY,
    };

    /// Whether the string may end here.
    fn is_whole(&self) -> bool {
        matches!(self.escape, Escape::None) && self.high == 0 && self.utf8.at_boundary()
    }

    /// Decodes a piece into `sink`, up to the closing quote, whose index is returned. The error is
    /// the index of the first byte that is not allowed.
    pub(super) fn decode(
        &mut self,
        piece: &[u8],
        mut sink: impl FnMut(&[u8]),
    ) -> Result<Option<usize>, usize> {
        for (at, byte) in piece.iter().enumerate() {
            if *byte == b'"' && !matches!(self.escape, Escape::Begun) {
                return if self.is_whole() {
                    Ok(Some(at))
                } else {
                    Err(at)
                };
            }
            self.next(*byte, &mut sink).ok_or(at)?;
        }
        Ok(None)
    }

    fn next(&mut self, byte: u8, sink: &mut impl FnMut(&[u8])) -> Option<()> {
        match self.escape {
            Escape::None if byte == b'\\' && self.utf8.at_boundary() => self.escape = Escape::Begun,
            Escape::None if byte < 0x20 || self.high != 0 => return None,
            Escape::None => {
                self.utf8 = self.utf8.next(byte)?;
                sink(&[byte]);
            }
            Escape::Begun if byte == b'u' => self.escape = Escape::Unicode { digits: 0, code: 0 },
            Escape::Begun if self.high != 0 => return None,
            Escape::Begun => {
                sink(&[unescape(byte)?]);
                self.escape = Escape::None;
            }
            Escape::Unicode { digits, code } => {
                let digit = char::from(byte).to_digit(16)?;
                let code = code << 4 | digit as u16;
                if digits < 3 {
                    let digits = digits + 1;
                    self.escape = Escape::Unicode { digits, code };
                } else {
                    self.escape = Escape::None;
                    self.unit(code, sink)?;
                }
            }
        }
        Some(())
    }

    /// Takes the value of a `\uXXXX`: a character, or one half of a surrogate pair.
    fn unit(&mut self, unit: u16, sink: &mut impl FnMut(&[u8])) -> Option<()> {
        let code = match (self.high, unit) {
            (0, 0xd800..=0xdbff) => {
                self.high = unit;
                return Some(());
            }
            (0, unit) => u32::from(unit),
            (high, 0xdc00..=0xdfff) => {
                self.high = 0;
                0x10000 + (u32::from(high - 0xd800) << 10) + u32::from(unit - 0xdc00)
            }
            _ => return None,
        };
        // A second half on its own is not a character.
        let character = char::from_u32(code)?;
        sink(character.encode_utf8(&mut [0; 4]).as_bytes());
        Some(())
    }
}

/// The text up to the closing quote, if all of it is printable ASCII without escapes.
#[inline(always)]
pub(super) fn plain(text: &[u8]) -> Option<&[u8]> {
    let at = special(text)?;
    (text.get(at) == Some(&b'"')).then(|| text.get(..at))?
}

/// The first byte that can't be part of a string as it is.
#[inline(always)]
fn special(text: &[u8]) -> Option<usize> {
    let (words, rest) = text.as_chunks();
    for (at, word) in words.iter().enumerate() {
        if let Some(special) = Word::of(*word).special() {
            return Some(at * 8 + special);
        }
    }
    match text.last_chunk() {
        Some(last) => Some(text.len() - 8 + Word::of(*last).special()?),
        None => rest
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=0x7f)),
    }
}

/// Decodes the text between a string's quotes, up to the first byte
/// that is not allowed.
pub(crate) fn decode_text(mut raw: &[u8], mut sink: impl FnMut(&[u8])) {
    let mut text = Text::EMPTY;
    while !raw.is_empty() {
        let (run, rest) = raw.split_at(memchr(b'\\', raw).unwrap_or(raw.len()));
        let escape = if rest.get(1) == Some(&b'u') { 6 } else { 2 };
        let (escape, rest) = rest.split_at(escape.min(rest.len()));
        // Most of a text is passed on in whole runs.
        let run = if text.is_whole() && std::str::from_utf8(run).is_ok() {
            sink(run);
            &[]
        } else {
            run
        };
        if run
            .iter()
            .chain(escape)
            .any(|byte| text.next(*byte, &mut sink).is_none())
        {
            return;
        }
        raw = rest;
    }
}

fn unescape(byte: u8) -> Option<u8> {
    Some(match byte {
        b'"' | b'\\' | b'/' => byte,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return None,
    })
}
