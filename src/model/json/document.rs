//! The grammar of the top level.

use super::{
    block::{Block, first, from},
    model::Models,
    nesting::Nesting,
    scalar::Scalar,
    text::Text,
};
use crate::model::found::{Duplicates, FIELD, MAX_MODELS, MAX_NAME, Model, Refusal, Value};

const KEY: &[u8] = FIELD.as_bytes();
/// The byte order mark in UTF-8. RFC 8259 section 8.1 lets parsers ignore it, and vLLM's does.
const MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// The state of reading a document.
#[derive(Clone, Debug)]
pub(super) struct Document {
    position: Position,
    pub(super) nesting: Nesting,
    /// The progress within a key or name that is read in pieces.
    text: Text,
    /// The key that is looked for, unless it is [`FIELD`]: comparing with a constant costs less.
    field: Option<Box<str>>,
    /// How many bytes of the wanted key have matched so far, but for case; `None` if this is
    /// another key.
    key_has: Option<usize>,
    /// Whether they have matched in case, too.
    is_exact: bool,
    /// Whether a key was the wanted one but for case.
    has_variant: bool,
    /// The model's name, as far as it has been read.
    name: Vec<u8>,
    /// Whether the value being read is the model's.
    is_model: bool,
    /// The offset at which the model's value began.
    value_start: u64,
    models: Models,
    duplicates: Duplicates,
}

/// The part of the grammar that the next byte belongs to or begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Before the object.
    Start,
    /// Within a byte order mark, of which so many bytes have been read.
    Mark(u8),
    /// The first key, or the end of an empty object.
    FirstKey,
    /// The key after a comma.
    NextKey,
    Key,
    Colon,
    Value,
    /// A string that is only skipped.
    Skipped,
    /// The string that names the model.
    Name,
    Nested,
    Scalar(Scalar),
    /// The comma after a value, or the end of the object.
    Comma,
    /// After the object.
    End,
}

/// The position after a step, and the next byte of the block.
type Step = Result<(Position, usize), Refusal>;

impl Document {
    pub(super) fn new(field: Option<Box<str>>, duplicates: Duplicates) -> Self {
        Self {
            position: Position::Start,
            nesting: Nesting::default(),
            text: Text::EMPTY,
            field,
            key_has: None,
            is_exact: true,
            has_variant: false,
            name: Vec::new(),
            is_model: false,
            value_start: 0,
            models: Models::None,
            duplicates,
        }
    }

    /// The key that is looked for.
    pub(super) fn field(&self) -> &str {
        self.field.as_deref().unwrap_or(FIELD)
    }

    pub(super) fn models(&self) -> &[Model] {
        self.models.as_slice()
    }

    /// The key that is looked for, and the models found.
    pub(super) fn found(&mut self) -> (&str, &mut [Model]) {
        let field = self.field.as_deref().unwrap_or(FIELD);
        (field, self.models.as_mut_slice())
    }

    pub(super) fn finish(&self) -> Result<(), Refusal> {
        match (self.position, &self.models) {
            (Position::End, Models::None) if self.has_variant => Err(Refusal::OtherCase),
            (Position::End, Models::None) => Err(Refusal::Missing),
            (Position::End, _) => Ok(()),
            _ => Err(Refusal::Truncated),
        }
    }

    pub(super) fn is_nested(&self) -> bool {
        self.position == Position::Nested
    }

    /// Reads a block.
    pub(super) fn read(&mut self, block: &Block<'_>) -> Result<(), Refusal> {
        let mut at = 0;
        let mut position = self.position;
        while at < block.len() {
            (position, at) = match position {
                Position::Start => self.start(block, at)?,
                Position::Mark(read) => mark(read, block, at)?,
                Position::FirstKey => self.first_key(block, at)?,
                Position::NextKey => self.next_key(block, at)?,
                Position::Key => self.key_piece(block, at)?,
                Position::Colon => self.colon(block, at)?,
                Position::Value => self.value(block, at)?,
                Position::Skipped => self.skipped(block, at),
                Position::Name => self.name_piece(block, at)?,
                Position::Nested => self.nested(block, at)?,
                Position::Scalar(scalar) => self.scalar(scalar, block, at)?,
                Position::Comma => self.comma(block, at)?,
                Position::End => stay(Position::End, block, at)?,
            };
        }
        self.position = position;
        Ok(())
    }

    fn start(&mut self, block: &Block<'_>, at: usize) -> Step {
        match block.byte(at) {
            Some(b'{') => Ok((Position::FirstKey, at + 1)),
            Some(byte) if byte == MARK[0] && block.offset_of(at) == 0 => {
                Ok((Position::Mark(1), at + 1))
            }
            Some(b'[' | b'"') => Err(Refusal::NotAnObject),
            Some(byte) if Scalar::begin(byte).is_some() => Err(Refusal::NotAnObject),
            _ => stay(Position::Start, block, at),
        }
    }

    #[inline(always)]
    fn first_key(&mut self, block: &Block<'_>, at: usize) -> Step {
        match block.byte(at) {
            Some(b'"') => self.key(block, at + 1),
            Some(b'}') => Ok((Position::End, at + 1)),
            _ => stay(Position::FirstKey, block, at),
        }
    }

    #[inline(always)]
    fn next_key(&mut self, block: &Block<'_>, at: usize) -> Step {
        match block.byte(at) {
            Some(b'"') => self.key(block, at + 1),
            _ => stay(Position::NextKey, block, at),
        }
    }

    /// A key from its beginning.
    #[inline(always)]
    fn key(&mut self, block: &Block<'_>, at: usize) -> Step {
        let piece = block.piece(at);
        if let Some(quote) = piece.quote
            && piece.is_plain
        {
            let key = match &self.field {
                None => Key::of(piece.text, KEY),
                Some(field) => Key::of(piece.text, field.as_bytes()),
            };
            return self.end_key(key, block, quote + 1);
        }
        self.text = Text::EMPTY;
        self.key_has = Some(0);
        self.is_exact = true;
        Ok((Position::Key, at))
    }

    #[inline(never)]
    fn key_piece(&mut self, block: &Block<'_>, at: usize) -> Step {
        let piece = block.piece(at);
        let field = self.field.as_deref().unwrap_or(FIELD).as_bytes();
        let (has, is_exact) = (&mut self.key_has, &mut self.is_exact);
        self.text
            .decode(piece, |part| {
                let wanted = has.and_then(|has| field.get(has..has + part.len()));
                *is_exact &= wanted == Some(part);
                *has = has
                    .filter(|_| wanted.is_some_and(|wanted| wanted.eq_ignore_ascii_case(part)))
                    .map(|has| has + part.len());
            })
            .map_err(|bad| syntax(block, at + bad))?;
        let Some(quote) = piece.quote else {
            return Ok((Position::Key, block.len()));
        };
        if !self.text.is_whole() {
            return Err(syntax(block, quote));
        }
        let key = match *has == Some(field.len()) {
            true if *is_exact => Key::Model,
            true => Key::Variant,
            false => Key::Other,
        };
        self.end_key(key, block, quote + 1)
    }

    #[inline(always)]
    fn end_key(&mut self, key: Key, block: &Block<'_>, at: usize) -> Step {
        self.is_model = key == Key::Model;
        if key != Key::Other {
            match self.duplicates {
                Duplicates::Refuse if self.models.len() > 0 || self.has_variant => {
                    return Err(Refusal::Duplicate);
                }
                Duplicates::Refuse => self.has_variant = key == Key::Variant,
                Duplicates::Keep if self.models.len() >= MAX_MODELS => {
                    return Err(Refusal::TooManyModels);
                }
                Duplicates::Keep => self.is_model = true,
            }
        }
        self.colon(block, at)
    }

    #[inline(always)]
    fn colon(&mut self, block: &Block<'_>, at: usize) -> Step {
        match block.byte(at) {
            Some(b':') => self.value(block, at + 1),
            _ => stay(Position::Colon, block, at),
        }
    }

    #[inline(always)]
    fn value(&mut self, block: &Block<'_>, at: usize) -> Step {
        self.value_start = block.offset_of(at);
        match block.byte(at) {
            Some(b'"') if self.is_model => self.name(block, at + 1),
            Some(b'"') => Ok((Position::Skipped, at + 1)),
            Some(b'[' | b'{') => {
                self.nesting = Nesting::BEGUN;
                Ok((Position::Nested, at + 1))
            }
            byte => match byte.and_then(Scalar::begin) {
                Some(scalar) => Ok((Position::Scalar(scalar), at + 1)),
                None => stay(Position::Value, block, at),
            },
        }
    }

    /// The model's string from its beginning.
    #[inline(always)]
    fn name(&mut self, block: &Block<'_>, at: usize) -> Step {
        let piece = block.piece(at);
        if let Some(quote) = piece.quote
            && piece.is_plain
        {
            return self.end_name(piece.text.to_vec(), block, quote + 1);
        }
        self.text = Text::EMPTY;
        Ok((Position::Name, at))
    }

    #[inline(never)]
    fn name_piece(&mut self, block: &Block<'_>, at: usize) -> Step {
        let piece = block.piece(at);
        // Text beyond the limit is neither decoded nor kept.
        let read = block.offset_of(at) - self.value_start - 1;
        let room = MAX_NAME.saturating_sub(read as usize);
        let cut = piece.up_to(room);
        let name = &mut self.name;
        self.text
            .decode(cut, |part| name.extend_from_slice(part))
            .map_err(|_| Refusal::InvalidName)?;
        if cut.text.len() < piece.text.len() {
            return Err(Refusal::NameTooLong);
        }
        let Some(quote) = piece.quote else {
            return Ok((Position::Name, block.len()));
        };
        if !self.text.is_whole() {
            return Err(Refusal::InvalidName);
        }
        let name = std::mem::take(name);
        self.end_name(name, block, quote + 1)
    }

    fn end_name(&mut self, name: Vec<u8>, block: &Block<'_>, at: usize) -> Step {
        let name = String::from_utf8(name).map_err(|_| Refusal::InvalidName)?;
        self.record(block.offset_of(at), Value::Name(name));
        Ok((Position::Comma, at))
    }

    #[inline(always)]
    fn skipped(&mut self, block: &Block<'_>, at: usize) -> (Position, usize) {
        match first(block.quotes & from(at)) {
            None => (Position::Skipped, block.len()),
            Some(quote) => self.end_value(block, quote + 1),
        }
    }

    #[inline(always)]
    fn nested(&mut self, block: &Block<'_>, at: usize) -> Step {
        let end = self.nesting.pass(block.brackets.within(from(at)));
        let behind = end.map_or(block.len(), |end| end + 1);
        // A backslash that escapes nothing could hide where a string begins.
        if block.stray != 0
            && let Some(stray) = first(block.stray & from(at) & !from(behind))
        {
            return Err(syntax(block, stray));
        }
        if end.is_some() {
            return Ok(self.end_value(block, behind));
        }
        Ok((Position::Nested, behind))
    }

    #[inline(always)]
    fn scalar(&mut self, mut scalar: Scalar, block: &Block<'_>, mut at: usize) -> Step {
        while let Some(&byte) = block.bytes.get(at) {
            let Some(next) = scalar.next(byte) else {
                if !scalar.is_whole() {
                    return Err(syntax(block, at));
                }
                return Ok(self.end_value(block, at));
            };
            scalar = next;
            at += 1;
        }
        Ok((Position::Scalar(scalar), at))
    }

    #[inline(always)]
    fn end_value(&mut self, block: &Block<'_>, at: usize) -> (Position, usize) {
        if self.is_model {
            self.record(block.offset_of(at), Value::NotAString);
        }
        (Position::Comma, at)
    }

    fn record(&mut self, end: u64, value: Value) {
        let span = self.value_start..end;
        self.models.push(Model { span, value });
    }

    #[inline(always)]
    fn comma(&mut self, block: &Block<'_>, at: usize) -> Step {
        match block.byte(at) {
            Some(b',') => self.next_key(block, at + 1),
            Some(b'}') => Ok((Position::End, at + 1)),
            _ => stay(Position::Comma, block, at),
        }
    }
}

/// What a key of the top level is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Other,
    Model,
    /// The model's but for case. Engines written in Go take it for the model's (encoding/json
    /// matches names without regard to case), and the last one counts.
    Variant,
}

impl Key {
    #[inline(always)]
    fn of(key: &[u8], wanted: &[u8]) -> Self {
        if key == wanted {
            Self::Model
        } else if key.eq_ignore_ascii_case(wanted) {
            Self::Variant
        } else {
            Self::Other
        }
    }
}

/// Reads on in a byte order mark.
#[cold]
fn mark(read: u8, block: &Block<'_>, at: usize) -> Step {
    if block.byte(at) != MARK.get(usize::from(read)).copied() {
        return Err(syntax(block, at));
    }
    match usize::from(read) + 1 == MARK.len() {
        true => Ok((Position::Start, at + 1)),
        false => Ok((Position::Mark(read + 1), at + 1)),
    }
}

/// Skips white space, which leaves the position the same. Anything else is a syntax error.
#[inline(never)]
fn stay(position: Position, block: &Block<'_>, mut at: usize) -> Step {
    let before = at;
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = block.byte(at) {
        at += 1;
    }
    // Without progress the caller would loop forever.
    if at == before && at < block.len() {
        return Err(syntax(block, at));
    }
    Ok((position, at))
}

#[cold]
fn syntax(block: &Block<'_>, at: usize) -> Refusal {
    Refusal::Syntax {
        offset: block.offset_of(at),
    }
}
