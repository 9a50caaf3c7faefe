//! Skips a nested value, 64 bytes at a time.

use std::ops::Range;

use super::{
    block::{BLOCK, first, from},
    kernel::{
        Machine,
        questions::{Questions, Work},
    },
    nesting::Nesting,
    scan::classify,
    strings::Strings,
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
    machine.run(Skip { text, long })
}

struct Skip<'a, F> {
    text: &'a [u8],
    long: F,
}

impl<F: FnMut(Range<usize>, bool)> Work for Skip<'_, F> {
    type Done = Option<usize>;

    #[inline(always)]
    fn on(self, kernel: impl Questions) -> Option<usize> {
        let Self { text, mut long } = self;
        let mut padded = [b' '; BLOCK];
        let mut strings = Strings::default();
        let mut nesting = Nesting::BEGUN;
        // Where the string that goes on in the next block begins.
        let mut open = None;
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let (block, len) = match rest.first_chunk() {
                Some(block) => (block, BLOCK),
                None => {
                    if let Some(front) = padded.get_mut(..rest.len()) {
                        front.copy_from_slice(rest);
                    }
                    (&padded, rest.len())
                }
            };
            let marks = kernel.marks(block);
            let masks = classify(&kernel, &mut strings, marks, block, len);
            let end = nesting.pass(masks.brackets);
            let behind = end.map_or(BLOCK, |end| end + 1);
            if masks.stray & !from(behind) != 0 {
                return None;
            }
            if let Some(quote) = first(masks.quotes) {
                if let Some(begin) = open {
                    long(begin..at + quote, true);
                }
                let last = masks.quotes.ilog2() as usize;
                open = strings.is_inside().then_some(at + last + 1);
            }
            if end.is_some() {
                return Some(at + behind);
            }
            at += len;
            if masks.quiet == 0 {
                at += plain_len(text.get(at..).unwrap_or_default(), &kernel);
            }
        }
        if let Some(begin) = open {
            long(begin..text.len(), false);
        }
        None
    }
}

/// How much of a string's text has neither quotes nor backslashes, in whole blocks.
#[inline(always)]
fn plain_len(text: &[u8], kernel: &impl Questions) -> usize {
    let blocks = text.as_chunks().0;
    let end = blocks.iter().position(|block| !kernel.plain(block));
    end.unwrap_or(blocks.len()) * BLOCK
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
