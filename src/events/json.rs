//! Reads one JSON value that arrives in pieces, and notes what matters of it.

use super::{
    event::Kinds,
    event_error::{EventError, Part},
    names::{Inner, Node, Type, is_output},
    template::{Holes, Varying},
    usage::{Count, Usage},
    word::Word,
};
use crate::pieces::quote_or_backslash;

/// The deepest that a key that matters is, arrays included (`candidates[].content.parts[].text`).
/// What is deeper is skipped.
const MAX_DEPTH: usize = 8;

/// The state of reading a value.
#[derive(Clone, Debug)]
pub(super) struct Json {
    at: At,
    /// What the value that is read or expected means.
    node: Node,
    /// The open objects and arrays in which keys matter.
    stack: [Inner; MAX_DEPTH],
    depth: u8,
    /// Which of them are arrays: the lowest bit is the innermost.
    arrays: u8,
    /// Whether the value is an array: several answers, as SGLang's own API gives for several prompts.
    is_list: bool,
    /// How many brackets are open in a value that is skipped.
    skipped: u64,
    /// Whether the byte before, in a string, was a backslash that escapes.
    is_escaped: bool,
    word: Word,
    /// The number so far, if it is an integer that fits.
    number: Option<u64>,
    /// Whether the string that is read is kept as part of an error: the first of each part is.
    keeps_error_text: bool,
    is_audio: bool,
    audio: Option<u64>,
    /// Where the value began, in the stream.
    begin: u64,
    /// Where the string or number that is read began, from there.
    start: u64,
    /// Where the number ends so far.
    end: u64,
    pub(super) holes: Holes,
    pub(super) found: Found,
    pub(super) usage: Usage,
}

/// What has been seen of the value.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) kinds: Kinds,
    pub(super) name: Type,
    pub(super) error: Option<Box<EventError>>,
}

impl Found {
    pub(super) const NOTHING: Self = Self {
        kinds: Kinds::NONE,
        name: Type::None,
        error: None,
    };
}

/// The part of the grammar that the next byte belongs to or begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    /// This many bytes of `[DONE]` have been read.
    Done(u8),
    Value,
    FirstElement,
    FirstKey,
    NextKey,
    Key,
    Colon,
    /// A string, and whether anything is in it yet.
    Text(bool),
    /// A number after its minus.
    Minus,
    Number,
    /// A word of [`WORDS`], of which this many bytes have been read.
    Word(u8, u8),
    /// After a value in an object or array.
    Comma,
    /// A nested value that does not matter; whether it is in a string.
    Skip(bool),
    /// Its first byte, where it matters whether it is empty.
    Probe,
    End,
    Bad,
}

const DONE: &[u8] = b"[DONE]";

/// Python's json writes and reads the last two, which are no JSON.
const WORDS: [&[u8]; 5] = [b"true", b"false", b"null", b"NaN", b"Infinity"];
const INFINITY: u8 = 4;

impl Json {
    /// Of an event that begins at `begin`, before which this `usage` was reported.
    pub(super) fn new(begin: u64, usage: Usage) -> Self {
        Self {
            at: At::Start,
            node: Node::In(Inner::Root),
            stack: [Inner::Root; MAX_DEPTH],
            depth: 0,
            arrays: 0,
            is_list: false,
            skipped: 0,
            is_escaped: false,
            word: Word::EMPTY,
            number: None,
            keeps_error_text: false,
            is_audio: false,
            audio: None,
            begin,
            start: 0,
            end: 0,
            holes: Holes::NONE,
            found: Found::NOTHING,
            usage,
        }
    }

    /// Before the next value, of an event that begins at `offset`. Only the usage stays.
    pub(super) fn begin(&mut self, offset: u64) {
        self.begin_at(offset);
        self.holes.clear();
        self.at = At::Start;
        self.node = Node::In(Inner::Root);
        self.depth = 0;
        self.arrays = 0;
        self.is_list = false;
        self.is_escaped = false;
        self.found = Found::NOTHING;
    }

    /// Nothing has been read since, but the event begins at `offset`.
    pub(super) fn begin_at(&mut self, offset: u64) {
        self.begin = offset;
    }

    /// Whether nothing of a value has been read.
    pub(super) fn is_empty(&self) -> bool {
        self.at == At::Start
    }

    /// Whether a value has been read to its end. A number at the top is only at an end of its own.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.at, At::End) || (self.at == At::Number && self.depth == 0)
    }

    /// Whether no further byte belongs to the value, be it whole or none.
    pub(super) fn is_ended(&self) -> bool {
        matches!(self.at, At::End | At::Bad)
    }

    /// A line ended within the value, which a string can't.
    pub(super) fn newline(&mut self) {
        if matches!(self.at, At::Key | At::Text(_) | At::Skip(true)) {
            self.at = At::Bad;
        } else {
            self.feed(b"\n", 0);
        }
    }

    /// Reads bytes, the first of which is at `offset` of the stream. They may be cut anywhere.
    pub(super) fn feed(&mut self, bytes: &[u8], offset: u64) {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            at += self.step(rest, offset + at as u64);
        }
    }

    /// Reads as [`feed`](Self::feed), up to the end of the value and no further. Returns how many
    /// bytes it read.
    pub(super) fn feed_one(&mut self, bytes: &[u8], offset: u64) -> usize {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.is_ended() {
                break;
            }
            at += self.step(rest, offset + at as u64);
        }
        at
    }

    /// Reads at least one byte, unless the one there belongs to what follows a number.
    #[inline]
    fn step(&mut self, rest: &[u8], offset: u64) -> usize {
        match self.at {
            At::NextKey if rest.first() == Some(&b'"') => 1 + self.begin_key(rest),
            At::Value if rest.first() == Some(&b'"') => {
                self.begin_text(offset);
                1
            }
            At::Word(word, read) => self.word(rest, word, read),
            At::Key => self.key(rest),
            At::Text(_) => self.text(rest, offset),
            At::Skip(in_string) => self.skip(rest, in_string),
            At::Number => self.number(rest, offset),
            At::Bad => rest.len(),
            _ => self.token(rest, offset),
        }
    }

    fn token(&mut self, rest: &[u8], offset: u64) -> usize {
        let Some(&byte) = rest.first() else { return 0 };
        match (self.at, byte) {
            (At::Done(read), _) => return self.done(read, byte),
            (At::Minus, b'0'..=b'9') => self.at = At::Number,
            (At::Minus, b'I') => self.at = At::Word(INFINITY, 1),
            (At::Minus, _) => self.at = At::Bad,
            (At::Probe, b' ' | b'\t' | b'\n' | b'\r') => {}
            (At::Probe, _) => {
                if !matches!(byte, b']' | b'}') {
                    self.found.kinds |= Kinds::CONTENT;
                }
                self.at = At::Skip(false);
                return 0;
            }
            (_, b' ' | b'\t' | b'\n' | b'\r') => {}
            (At::Start, b'[') => self.at = At::Done(1),
            (At::Start | At::Value | At::FirstElement, b'"') => self.begin_text(offset),
            (At::Start | At::Value | At::FirstElement, b'{' | b'[') => self.open(byte),
            (At::FirstKey | At::NextKey, b'"') => return 1 + self.begin_key(rest),
            (At::FirstKey, b'}') | (At::FirstElement, b']') => self.close(byte),
            (At::Colon, b':') => self.at = At::Value,
            (At::Comma, b',') => {
                self.at = match self.arrays & 1 {
                    1 => At::Value,
                    _ => At::NextKey,
                };
            }
            (At::Comma, b'}' | b']') => self.close(byte),
            (At::Start | At::Value | At::FirstElement, _) => self.begin_scalar(byte, offset),
            _ => self.at = At::Bad,
        }
        1
    }

    /// The rest of `[DONE]`, or of an array.
    fn done(&mut self, read: u8, byte: u8) -> usize {
        if DONE.get(usize::from(read)) == Some(&byte) {
            self.at = At::Done(read + 1);
            if usize::from(read) + 1 == DONE.len() {
                self.found.kinds |= Kinds::TERMINAL;
                self.at = At::End;
            }
            return 1;
        }
        match read {
            1 => self.open(b'['),
            _ => self.at = At::Bad,
        }
        0
    }

    fn open(&mut self, byte: u8) {
        let is_array = byte == b'[';
        self.is_list |= is_array && self.depth == 0;
        if let Node::In(inner) = self.node
            && let Some(place) = self.stack.get_mut(usize::from(self.depth))
        {
            *place = inner;
            self.depth += 1;
            self.arrays = self.arrays << 1 | u8::from(is_array);
            self.at = match is_array {
                true => At::FirstElement,
                false => At::FirstKey,
            };
            if matches!(inner, Inner::InputModalities | Inner::OutputModalities) {
                self.is_audio = false;
                self.audio = None;
            }
            if inner == Inner::Error && !is_array {
                self.found.kinds |= Kinds::ERROR;
            }
            return;
        }
        self.skipped = 1;
        self.at = match self.node {
            Node::Text => At::Probe,
            _ => At::Skip(false),
        };
    }

    fn close(&mut self, byte: u8) {
        if (byte == b']') != (self.arrays & 1 == 1) {
            self.at = At::Bad;
            return;
        }
        self.depth -= 1;
        self.arrays >>= 1;
        self.end_value();
    }

    fn end_value(&mut self) {
        match self.innermost() {
            None => self.at = At::End,
            Some(inner) => {
                self.node = Node::In(inner);
                self.at = At::Comma;
            }
        }
    }

    /// The object or array that is read.
    fn innermost(&self) -> Option<Inner> {
        let last = usize::from(self.depth).checked_sub(1)?;
        self.stack.get(last).copied()
    }

    /// Returns how many bytes it read after the quote.
    #[inline]
    fn begin_key(&mut self, rest: &[u8]) -> usize {
        let key = rest.get(1..).unwrap_or_default();
        if let Some(end) = quote_or_backslash(key)
            && let Some(name) = key.get(..end)
            && key.get(end) == Some(&b'"')
        {
            self.end_key(name);
            if key.get(end + 1) == Some(&b':') {
                self.at = At::Value;
                return end + 2;
            }
            return end + 1;
        }
        self.word.clear();
        self.at = At::Key;
        0
    }

    fn key(&mut self, rest: &[u8]) -> usize {
        let end = quote(rest, &mut self.is_escaped);
        self.word
            .decode(rest.get(..end.unwrap_or(rest.len())).unwrap_or_default());
        if end.is_some() {
            let word = self.word;
            self.end_key(word.text());
        }
        end.map_or(rest.len(), |end| end + 1)
    }

    fn end_key(&mut self, name: &[u8]) {
        self.node = self
            .innermost()
            .map_or(Node::Other, |inner| inner.child(name));
        self.at = At::Colon;
    }

    fn begin_text(&mut self, offset: u64) {
        self.start = offset + 1 - self.begin;
        self.at = At::Text(false);
        self.word.clear();
    }

    fn text(&mut self, rest: &[u8], offset: u64) -> usize {
        let end = quote(rest, &mut self.is_escaped);
        let piece = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        if !piece.is_empty() {
            let is_first = self.at == At::Text(false);
            self.at = At::Text(true);
            self.piece(piece, is_first);
        }
        let Some(end) = end else { return rest.len() };
        self.end_text(offset + end as u64);
        match rest.get(end + 1) {
            Some(b',') if self.at == At::Comma && self.arrays & 1 == 0 => {
                self.at = At::NextKey;
                end + 2
            }
            _ => end + 1,
        }
    }

    /// A piece of a string that matters.
    fn piece(&mut self, piece: &[u8], is_first: bool) {
        let found = &mut self.found;
        match self.node {
            Node::Text | Node::In(Inner::Delta | Inner::Response) => found.kinds |= Kinds::CONTENT,
            Node::Role => found.kinds |= Kinds::START,
            Node::Finish => found.kinds |= Kinds::FINISH,
            Node::In(Inner::Error) => {
                found.kinds |= Kinds::ERROR;
                self.keep_error_part(Part::Message, piece, is_first);
            }
            Node::In(Inner::Message) => self.keep_error_part(Part::Message, piece, is_first),
            Node::Said(part) => self.keep_error_part(part, piece, is_first),
            Node::Type | Node::Object | Node::BlockType | Node::Modality => self.word.decode(piece),
            _ => {}
        }
    }

    fn keep_error_part(&mut self, part: Part, piece: &[u8], is_first: bool) {
        let error = error(&mut self.found);
        if is_first {
            self.keeps_error_text = !error.has(part);
        }
        if self.keeps_error_text {
            error.add(part, piece);
        }
    }

    /// A string has ended before the quote at `offset`.
    fn end_text(&mut self, offset: u64) {
        let word = self.word.text();
        let (start, end) = (self.start, offset - self.begin);
        match self.node {
            Node::Text | Node::In(Inner::Delta | Inner::Response) if start < end => {
                self.holes.add(Varying::Output, start, end);
            }
            Node::Varying => self.holes.add(Varying::Text, start, end),
            Node::Type => self.found.name = Type::of(word),
            Node::Object if word == b"error" => self.found.kinds |= Kinds::ERROR,
            Node::BlockType if is_output(word) => self.found.kinds |= Kinds::CONTENT,
            Node::Modality => {
                self.is_audio = word == b"AUDIO";
                self.modality();
            }
            _ => {}
        }
        self.end_value();
    }

    fn begin_scalar(&mut self, byte: u8, offset: u64) {
        self.start = offset - self.begin;
        self.end = self.start + 1;
        match byte {
            b'-' => {
                self.number = None;
                self.at = At::Minus;
            }
            b'0'..=b'9' => {
                self.number = Some(u64::from(byte - b'0'));
                self.at = At::Number;
            }
            _ => {
                let word = WORDS.iter().position(|word| word.first() == Some(&byte));
                self.at = word.map_or(At::Bad, |word| At::Word(word as u8, 1));
            }
        }
    }

    fn word(&mut self, rest: &[u8], word: u8, read: u8) -> usize {
        let text = WORDS.get(usize::from(word)).copied().unwrap_or_default();
        let missing = text.get(usize::from(read)..).unwrap_or_default();
        let pairs = missing.iter().zip(rest);
        let same = pairs
            .take_while(|(expected, byte)| expected == byte)
            .count();
        if same == missing.len() {
            if self.node == Node::Done && text == b"true" {
                self.found.kinds |= Kinds::FINISH | Kinds::TERMINAL;
            }
            self.end_value();
            same
        } else if same == rest.len() {
            self.at = At::Word(word, read + same as u8);
            same
        } else {
            self.at = At::Bad;
            same + 1
        }
    }

    /// Reads a number. What follows it is read by the next step.
    fn number(&mut self, rest: &[u8], offset: u64) -> usize {
        for (at, &byte) in rest.iter().enumerate() {
            self.number = match byte {
                b'0'..=b'9' => self
                    .number
                    .and_then(|number| number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))),
                b'.' | b'e' | b'E' | b'+' | b'-' => None,
                _ => {
                    self.end_number();
                    return at;
                }
            };
            self.end = offset + at as u64 + 1 - self.begin;
        }
        rest.len()
    }

    fn end_number(&mut self) {
        if let Some(number) = self.number {
            let (start, end) = (self.start, self.end);
            match self.node {
                Node::Count(count) => {
                    self.holes.add(Varying::Count(count), start, end);
                    self.count(count, number);
                }
                Node::Varying => self.holes.add(Varying::Number, start, end),
                Node::ModalityCount => {
                    self.audio = Some(number);
                    self.modality();
                }
                Node::Said(Part::Code | Part::Kind) => error(&mut self.found).set_number(number),
                Node::In(Inner::Error) => {
                    self.found.kinds |= Kinds::ERROR;
                    error(&mut self.found).set_number(number);
                }
                _ => {}
            }
        }
        self.end_value();
    }

    fn count(&mut self, count: Count, number: u64) {
        match self.is_list {
            true => self.usage.add(count, number),
            false => self.usage.set(count, number),
        }
        self.found.kinds |= Kinds::USAGE;
    }

    /// Gemini's counts by modality: the modality may be before the count or after it.
    fn modality(&mut self) {
        if let (true, Some(number)) = (self.is_audio, self.audio) {
            match self.innermost() {
                Some(Inner::InputModalities) => self.count(Count::InputAudio, number),
                Some(Inner::OutputModalities) => self.count(Count::OutputAudio, number),
                _ => {}
            }
        }
    }

    fn skip(&mut self, rest: &[u8], in_string: bool) -> usize {
        if in_string {
            let end = quote(rest, &mut self.is_escaped);
            if end.is_some() {
                self.at = At::Skip(false);
            }
            return end.map_or(rest.len(), |end| end + 1);
        }
        for (at, &byte) in rest.iter().enumerate() {
            match byte {
                b'"' => {
                    self.at = At::Skip(true);
                    return at + 1;
                }
                b'{' | b'[' => self.skipped += 1,
                b'}' | b']' => {
                    self.skipped -= 1;
                    if self.skipped == 0 {
                        self.end_value();
                        return at + 1;
                    }
                }
                _ => {}
            }
        }
        rest.len()
    }
}

fn error(found: &mut Found) -> &mut EventError {
    found.error.get_or_insert_default()
}

/// The end of a string: its first quote that is not escaped.
#[inline]
fn quote(rest: &[u8], is_escaped: &mut bool) -> Option<usize> {
    let mut at = 0;
    if *is_escaped && !rest.is_empty() {
        *is_escaped = false;
        at = 1;
    }
    loop {
        let text = rest.get(at..).unwrap_or_default();
        let found = quote_or_backslash(text)?;
        at += found;
        if text.get(found) == Some(&b'"') {
            return Some(at);
        }
        if found + 1 == text.len() {
            *is_escaped = true;
            return None;
        }
        at += 2;
    }
}
