//! Skips nested values and strings.

use std::ops::Range;

use super::{
    blocks::Blocks,
    kernel::{
        Machine,
        questions::{Questions, Work},
    },
    nesting::Nesting,
    pieces::Pieces,
    strings::Strings,
    words::Words,
};

/// The length of the nested value whose first bracket is before `text`. `None` if it does not end
/// there, or has a backslash outside of its strings, which could hide where one begins. Brackets are
/// only counted, and what stands between tokens is not read.
///
/// `long` is told the place of each string of some length: of all that have 64 bytes, and not of all others.
/// (Keys are strings.) Of one that goes on behind the text it is told the part that is there, with
/// `false`.
pub(crate) fn skip_nested(text: &[u8], long: impl FnMut(Range<usize>, bool)) -> Option<usize> {
    skip_on(Machine::best(), text, long)
}

pub(super) fn skip_on(
    machine: Machine,
    text: &[u8],
    long: impl FnMut(Range<usize>, bool),
) -> Option<usize> {
    let progress = &mut Nested::default();
    let skip = Skip::new(progress, text, long);
    machine.run(skip).ok()?
}

/// The progress within a nested value whose text arrives in chunks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Nested {
    strings: Strings,
    nesting: Nesting,
}

/// The place of a backslash outside of strings.
pub(super) type Stray = usize;

impl Nested {
    /// Skips the next chunk, and returns the length of what is left of the value, if it ends there.
    pub(super) fn skip(&mut self, machine: Machine, text: &[u8]) -> Result<Option<usize>, Stray> {
        machine.run(Skip::new(self, text, |_, _| {}))
    }
}

struct Skip<'a, F> {
    progress: &'a mut Nested,
    text: &'a [u8],
    long: F,
    /// Where the string that goes on in the next piece begins.
    open: Option<usize>,
}

impl<F: FnMut(Range<usize>, bool)> Work for Skip<'_, F> {
    type Done = Result<Option<usize>, Stray>;

    #[inline(always)]
    fn on(mut self, kernel: impl Questions) -> Self::Done {
        let (blocks, tail) = self.text.as_chunks();
        let behind = self.text.len() - tail.len();
        match self.over(Blocks::new(blocks, kernel), behind)? {
            None => self.finish(tail),
            end => Ok(end),
        }
    }

    // Inlined, its masks and the state of the top level have too few registers.
    #[inline(never)]
    fn by_words(self) -> Self::Done {
        let text = self.text;
        self.finish(text)
    }
}

impl<'a, F: FnMut(Range<usize>, bool)> Skip<'a, F> {
    fn new(progress: &'a mut Nested, text: &'a [u8], long: F) -> Self {
        Self {
            progress,
            text,
            long,
            open: None,
        }
    }

    /// Reads what is left, in words.
    #[inline(always)]
    fn finish(mut self, rest: &[u8]) -> Result<Option<usize>, Stray> {
        let len = self.text.len();
        let end = self.over(Words::new(rest), len);
        if let (Ok(None), Some(begin)) = (end, self.open) {
            (self.long)(begin..len, false);
        }
        end
    }

    /// Reads pieces, which end at `behind`.
    #[inline(always)]
    fn over<P: Pieces>(&mut self, mut pieces: P, behind: usize) -> Result<Option<usize>, Stray> {
        let Nested {
            mut strings,
            mut nesting,
        } = *self.progress;
        let mut open = self.open;
        while let Some(piece) = pieces.next(&mut strings) {
            let place = |bit: u32| behind - pieces.left() - piece.len + P::byte(bit);
            if piece.quotes != 0 {
                if let Some(begin) = open {
                    (self.long)(begin..place(piece.quotes.trailing_zeros()), true);
                }
                let last = piece.quotes.ilog2();
                open = strings.is_inside().then(|| place(last) + 1);
            }
            if P::BRACKETS_ARE_RARE && piece.brackets.are_none() && piece.stray == 0 {
                continue;
            }
            let end = nesting.pass(piece.brackets, P::count);
            if piece.stray != 0 && end.is_none_or(|end| piece.stray.trailing_zeros() < end) {
                return Err(place(piece.stray.trailing_zeros()));
            }
            if let Some(end) = end {
                return Ok(Some(place(end) + 1));
            }
        }
        *self.progress = Nested { strings, nesting };
        self.open = open;
        Ok(None)
    }
}

/// Skips the next chunk of a string, and returns where in it the closing quote is.
pub(super) fn skip_string(machine: Machine, strings: &mut Strings, text: &[u8]) -> Option<usize> {
    machine.run(SkipString { strings, text })
}

struct SkipString<'a> {
    strings: &'a mut Strings,
    text: &'a [u8],
}

impl Work for SkipString<'_> {
    type Done = Option<usize>;

    #[inline(always)]
    fn on(mut self, kernel: impl Questions) -> Option<usize> {
        let (blocks, tail) = self.text.as_chunks();
        let behind = self.text.len() - tail.len();
        self.over(Blocks::new(blocks, kernel), behind)
            .or_else(|| self.over(Words::new(tail), self.text.len()))
    }

    #[inline(never)]
    fn by_words(mut self) -> Option<usize> {
        self.over(Words::new(self.text), self.text.len())
    }
}

impl SkipString<'_> {
    #[inline(always)]
    fn over<P: Pieces>(&mut self, mut pieces: P, behind: usize) -> Option<usize> {
        // A piece of a string is not only text where it has a quote.
        let piece = pieces.next(self.strings)?;
        let quote = P::byte(piece.quotes.trailing_zeros());
        Some(behind - pieces.left() - piece.len + quote)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::json::masks::BLOCK;

    /// Byte by byte: the length, and the strings of 64 bytes and more.
    fn naive(text: &[u8]) -> (Option<usize>, Vec<(&[u8], bool)>) {
        let mut long = Vec::new();
        let (mut depth, mut at) = (1, 0);
        while let Some(byte) = text.get(at) {
            at += 1;
            match byte {
                b'"' => {
                    let begin = at;
                    while text.get(at).is_some_and(|byte| *byte != b'"') {
                        at += 1 + usize::from(text[at] == b'\\');
                    }
                    let string = &text[begin..at.min(text.len())];
                    if string.len() >= BLOCK {
                        long.push((string, at < text.len()));
                    }
                    at += 1;
                }
                b'\\' => return (None, long),
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 1 => return (Some(at), long),
                b'}' | b']' => depth -= 1,
                _ => {}
            }
        }
        (None, long)
    }

    fn skip(machine: Machine, text: &[u8]) -> (Option<usize>, Vec<(&[u8], bool)>) {
        let mut long = Vec::new();
        let end = skip_on(machine, text, |place, is_whole| {
            if place.len() >= BLOCK {
                long.push((&text[place], is_whole));
            }
        });
        (end, long)
    }

    proptest! {
        #[test]
        fn the_end_and_the_long_strings_are_those_of_a_naive_reader(
            pieces in prop::collection::vec(prop_oneof![
                "[\\\\\"{}\\[\\],:1a \u{e9}]{0,6}",
                "[ a-z]{0,200}",
                "\"[a-z]{0,200}\"",
                "\"([a-z]|\\\\\\\\|\\\\\"){0,90}\"",
                Just("{\"a\":[".to_owned()),
                Just("]}".to_owned()),
                "\\\\{0,70}",
            ], 0..12),
        ) {
            let text = pieces.concat();
            let (end, long) = naive(text.as_bytes());
            for machine in Machine::all() {
                let (found, strings) = skip(machine, text.as_bytes());
                prop_assert_eq!(found, end);
                // What is told before a mistake does not matter.
                if end.is_some() || !text.contains('\\') {
                    prop_assert_eq!(&strings, &long);
                }
            }
        }
    }

    #[test]
    fn every_length_around_the_blocks() {
        for before in 0..130 {
            for len in (0..70).chain([127, 128, 129, 1024]) {
                let (space, text) = (" ".repeat(before), "}".repeat(len));
                let whole = format!("{space}\"{text}\"}} \"");
                let expected = naive(whole.as_bytes());
                assert_eq!(expected.0, Some(before + len + 3));
                for machine in Machine::all() {
                    assert_eq!(skip(machine, whole.as_bytes()), expected);
                }
            }
        }
    }
}
