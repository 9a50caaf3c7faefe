//! The lines of server-sent events (WHATWG's HTML standard, section 9.2.6).

use memchr::memchr2;

use super::{names::Type, word::Word};

/// The state of reading lines. Each ends with CR, LF, or both.
#[derive(Clone, Debug)]
pub(super) struct Sse {
    line: Line,
    /// The name of the field, or the value of `event`, as far as it has been read.
    word: Word,
    /// Whether the byte before was a CR: an LF still belongs to it.
    is_after_cr: bool,
    /// Whether the event has a line.
    has_lines: bool,
    /// Whether the event has data.
    has_data: bool,
    name: Type,
    has_ids: bool,
}

/// What the next byte belongs to or begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Start,
    Field,
    Data,
    /// The value of `event`, whose first byte may be a space.
    NameStart,
    Name,
    /// A comment, or a field that says nothing.
    Rest,
}

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Nothing,
    /// Of the event's data.
    Data(&'a [u8]),
    /// One more line of data begins.
    NextLine,
    /// The empty line that ends an event.
    End,
}

impl Sse {
    pub(super) fn new() -> Self {
        Self {
            line: Line::Start,
            word: Word::EMPTY,
            is_after_cr: false,
            has_lines: false,
            has_data: false,
            name: Type::None,
            has_ids: false,
        }
    }

    /// Before the next event.
    pub(super) fn begin(&mut self) {
        self.has_lines = false;
        self.has_data = false;
        self.name = Type::None;
    }

    /// Whether an event may begin with the next byte.
    #[inline]
    pub(super) fn may_begin(&self) -> bool {
        self.is_between() && !self.is_after_cr
    }

    /// Whether nothing of an event has been read.
    #[inline]
    pub(super) fn is_between(&self) -> bool {
        !self.has_lines && self.line == Line::Start
    }

    /// Whether an event has begun, other than with a comment.
    pub(super) fn is_within(&self) -> bool {
        self.has_data || matches!(self.line, Line::Field | Line::NameStart | Line::Name)
    }

    /// Whether an event so far had an `id`.
    pub(super) fn has_ids(&self) -> bool {
        self.has_ids
    }

    /// What the field `event` says.
    pub(super) fn name(&self) -> Type {
        self.name
    }

    /// After an event that was read otherwise, and ended with this byte.
    pub(super) fn ended_with(&mut self, last: Option<&u8>) {
        self.is_after_cr = last == Some(&b'\r');
    }

    /// Reads a piece, at least one byte.
    #[inline]
    pub(super) fn read<'a>(&mut self, rest: &mut &'a [u8]) -> Piece<'a> {
        if self.is_after_cr {
            self.is_after_cr = false;
            if let Some(after) = rest.strip_prefix(b"\n") {
                *rest = after;
                return Piece::Nothing;
            }
        }
        match self.line {
            Line::Start => self.start(rest),
            Line::Field => self.field(rest),
            Line::Data => {
                let data = self.value(rest);
                match data.is_empty() {
                    true => Piece::Nothing,
                    false => Piece::Data(data),
                }
            }
            Line::NameStart => {
                self.line = Line::Name;
                *rest = rest.strip_prefix(b" ").unwrap_or(rest);
                Piece::Nothing
            }
            Line::Name => {
                let name = self.value(rest);
                self.word.push(name);
                if self.line == Line::Start {
                    self.name = Type::of(self.word.text());
                }
                Piece::Nothing
            }
            Line::Rest => {
                self.value(rest);
                Piece::Nothing
            }
        }
    }

    fn start<'a>(&mut self, rest: &mut &'a [u8]) -> Piece<'a> {
        if let Some(after) = rest.strip_prefix(b"data:") {
            *rest = after;
            return self.data(Line::Data);
        }
        match rest.split_first() {
            Some((&byte @ (b'\r' | b'\n'), after)) => {
                self.is_after_cr = byte == b'\r';
                *rest = after;
                match self.has_lines {
                    true => Piece::End,
                    false => Piece::Nothing,
                }
            }
            _ => {
                self.has_lines = true;
                self.line = Line::Field;
                self.word.clear();
                Piece::Nothing
            }
        }
    }

    /// A field's name, up to its colon or the end of a line without one.
    fn field<'a>(&mut self, rest: &mut &'a [u8]) -> Piece<'a> {
        let is_end = |byte: &u8| matches!(byte, b':' | b'\r' | b'\n');
        let end = rest.iter().position(is_end);
        let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
        self.word.push(name);
        *rest = after;
        let Some((&byte, behind)) = after.split_first() else {
            return Piece::Nothing;
        };
        *rest = behind;
        let is_line = byte != b':';
        self.is_after_cr = byte == b'\r';
        let line = |line| if is_line { Line::Start } else { line };
        match self.word.text() {
            b"data" => self.data(line(Line::Data)),
            b"event" => {
                self.line = line(Line::NameStart);
                self.name = Type::None;
                self.word.clear();
                Piece::Nothing
            }
            name => {
                self.has_ids |= name == b"id";
                self.line = line(Line::Rest);
                Piece::Nothing
            }
        }
    }

    fn data<'a>(&mut self, line: Line) -> Piece<'a> {
        self.line = line;
        self.has_lines = true;
        match std::mem::replace(&mut self.has_data, true) {
            true => Piece::NextLine,
            false => Piece::Nothing,
        }
    }

    /// What is there of a field's value. Its line may end with it.
    #[inline]
    fn value<'a>(&mut self, rest: &mut &'a [u8]) -> &'a [u8] {
        let Some(end) = memchr2(b'\r', b'\n', rest) else {
            return std::mem::take(rest);
        };
        let (value, after) = rest.split_at(end);
        self.is_after_cr = after.first() == Some(&b'\r');
        *rest = after.get(1..).unwrap_or_default();
        self.line = Line::Start;
        value
    }
}
