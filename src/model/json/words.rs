use std::slice;

use super::{
    pieces::{Piece, Pieces},
    strings::Strings,
    word::{Word, count, parities},
};

/// A text in words of eight bytes, where no kernel is.
pub(super) struct Words<'a> {
    words: slice::Iter<'a, [u8; 8]>,
    /// Less than a word, behind these.
    tail: &'a [u8],
}

impl<'a> Words<'a> {
    #[inline(always)]
    pub(super) fn new(text: &'a [u8]) -> Self {
        let (words, tail) = text.as_chunks();
        Self {
            words: words.iter(),
            tail,
        }
    }
}

impl Words<'_> {
    /// Skips words that are text.
    #[inline(always)]
    fn skip_text(&mut self) {
        let mut ahead = self.words.clone();
        let mut skipped = 0;
        while let Some(bytes) = ahead.next()
            && Word::of(*bytes).has_no_marks()
        {
            self.words = ahead.clone();
            skipped += 1;
            if skipped == LONG {
                self.words = skip_long_text(self.words.as_slice()).iter();
                ahead = self.words.clone();
                skipped = 0;
            }
        }
    }
}

/// After this many words of text more are likely to follow. (For a chat's sentences that would
/// be dearer.)
const LONG: u32 = 8;

/// What is behind the text in which these words begin, four words at a time. Compilers use vector
/// instructions for this, where machines have some, such as NEON: half of the time of single words.
#[inline(never)]
fn skip_long_text(words: &[[u8; 8]]) -> &[[u8; 8]] {
    let mark = |found, byte: &u8| found | u8::from(matches!(byte, b'"' | b'\\'));
    let is_text = |four: &[[u8; 8]; 4]| four.as_flattened().iter().fold(0, mark) == 0;
    let mut rest = words;
    while let Some((four, behind)) = rest.split_first_chunk()
        && is_text(four)
    {
        rest = behind;
    }
    rest
}

impl Pieces for Words<'_> {
    const BRACKETS_ARE_RARE: bool = true;

    #[inline(always)]
    fn next(&mut self, strings: &mut Strings) -> Option<Piece> {
        loop {
            if strings.is_in_text() {
                self.skip_text();
            }
            let Some(bytes) = self.words.next() else {
                break;
            };
            if let Some(piece) = piece(Word::of(*bytes), 8, strings) {
                return Some(piece);
            }
        }
        let tail = std::mem::take(&mut self.tail);
        match tail.len() {
            0 => None,
            len => piece(Word::of_few(tail), len, strings),
        }
    }

    #[inline(always)]
    fn left(&self) -> usize {
        self.words.len() * 8 + self.tail.len()
    }

    #[inline(always)]
    fn byte(bit: u32) -> usize {
        bit as usize / 8
    }

    #[inline(always)]
    fn count(mask: u64) -> u64 {
        count(mask)
    }
}

/// A word, unless it is only text of a string.
#[inline(always)]
fn piece(word: Word, len: usize, strings: &mut Strings) -> Option<Piece> {
    let quotes = quotes(word, len, strings);
    if strings.is_inside() && quotes == 0 {
        return None;
    }
    let inside = strings.pass_quotes(parities(quotes));
    Some(Piece {
        len,
        quotes,
        brackets: word.brackets().within(!inside),
        stray: word.marks().backslashes & !inside,
    })
}

/// The quotes that are not escaped.
#[inline(always)]
fn quotes(word: Word, len: usize, strings: &mut Strings) -> u64 {
    let marks = word.marks();
    if marks.backslashes | strings.escaped == 0 {
        return marks.quotes;
    }
    let first = strings.escaped << 7;
    let mut escaping = marks.backslashes & !first;
    if escaping & escaping << 8 != 0 {
        escaping = every_other(escaping);
    }
    strings.escaped = escaping >> (len * 8 - 1) & 1;
    marks.quotes & !(escaping << 8 | first)
}

/// The first of each run of backslashes, and every other behind it.
#[inline(always)]
fn every_other(mut backslashes: u64) -> u64 {
    let mut escaping = 0;
    while backslashes != 0 {
        let next = backslashes & backslashes.wrapping_neg();
        escaping |= next;
        backslashes &= !(next | next << 8);
    }
    escaping
}
