//! The grammar of the top level.

use super::{
    kernel::Machine,
    model::Models,
    nested::{Nested, skip_string},
    scalar::Scalar,
    strings::Strings,
    text::{Text, plain},
};
use crate::model::found::{Duplicates, FIELD, MAX_MODELS, MAX_NAME, Model, Refusal, Value};

const KEY: &[u8] = FIELD.as_bytes();
/// The byte order mark in UTF-8. RFC 8259 section 8.1 lets parsers ignore it, and vLLM's does.
const MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// The state of reading a document.
#[derive(Clone, Debug)]
pub(super) struct Document {
    machine: Machine,
    /// The number of bytes read.
    offset: u64,
    position: Position,
    /// The progress within a nested value.
    nested: Nested,
    /// The progress within a string that is skipped.
    skipped: Strings,
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
    /// Within a byte order mark, of which this many bytes have been read.
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

/// The next bytes of the input.
#[derive(Debug)]
struct Chunk<'a> {
    bytes: &'a [u8],
    /// The offset of the first one in the whole input.
    offset: u64,
}

impl<'a> Chunk<'a> {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    fn from(&self, at: usize) -> &'a [u8] {
        self.bytes.get(at..).unwrap_or_default()
    }

    fn offset_of(&self, at: usize) -> u64 {
        self.offset + at as u64
    }
}

/// The position after a step, and the next byte of the chunk.
type Step = Result<(Position, usize), Refusal>;

impl Document {
    pub(super) fn new(machine: Machine, field: Option<Box<str>>, duplicates: Duplicates) -> Self {
        Self {
            machine,
            offset: 0,
            position: Position::Start,
            nested: Nested::default(),
            skipped: Strings::default(),
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
            _ if self.offset == 0 => Err(Refusal::Empty),
            (Position::End, Models::None) if self.has_variant => Err(Refusal::OtherCase),
            (Position::End, Models::None) => Err(Refusal::Missing),
            (Position::End, _) => Ok(()),
            _ => Err(Refusal::Truncated),
        }
    }

    /// Reads a chunk.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let chunk = &Chunk {
            bytes,
            offset: self.offset,
        };
        let mut at = 0;
        let mut position = self.position;
        while at < chunk.len() {
            (position, at) = match position {
                Position::Start => self.start(chunk, at)?,
                Position::Mark(read) => mark(read, chunk, at)?,
                Position::FirstKey => self.first_key(chunk, at)?,
                Position::NextKey => self.next_key(chunk, at)?,
                Position::Key => self.key_piece(chunk, at)?,
                Position::Colon => self.colon(chunk, at)?,
                Position::Value => self.value(chunk, at)?,
                Position::Skipped => self.skipped(chunk, at),
                Position::Name => self.name_piece(chunk, at)?,
                Position::Nested => self.nested(chunk, at)?,
                Position::Scalar(scalar) => self.scalar(scalar, chunk, at)?,
                Position::Comma => self.comma(chunk, at)?,
                Position::End => stay(Position::End, chunk, at)?,
            };
        }
        self.position = position;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn start(&mut self, chunk: &Chunk<'_>, at: usize) -> Step {
        match chunk.byte(at) {
            Some(b'{') => Ok((Position::FirstKey, at + 1)),
            Some(byte) if byte == MARK[0] && chunk.offset_of(at) == 0 => {
                Ok((Position::Mark(1), at + 1))
            }
            Some(b'[' | b'"') => Err(Refusal::NotAnObject),
            Some(byte) if Scalar::begin(byte).is_some() => Err(Refusal::NotAnObject),
            _ => stay(Position::Start, chunk, at),
        }
    }

    #[inline(always)]
    fn first_key(&mut self, chunk: &Chunk<'_>, at: usize) -> Step {
        match chunk.byte(at) {
            Some(b'"') => self.key(chunk, at + 1),
            Some(b'}') => Ok((Position::End, at + 1)),
            _ => stay(Position::FirstKey, chunk, at),
        }
    }

    #[inline(always)]
    fn next_key(&mut self, chunk: &Chunk<'_>, at: usize) -> Step {
        match chunk.byte(at) {
            Some(b'"') => self.key(chunk, at + 1),
            _ => stay(Position::NextKey, chunk, at),
        }
    }

    /// A key from its beginning.
    #[inline(always)]
    fn key(&mut self, chunk: &Chunk<'_>, at: usize) -> Step {
        if let Some(key) = plain(chunk.from(at)) {
            let end = at + key.len() + 1;
            let key = match &self.field {
                None => Key::of(key, KEY),
                Some(field) => Key::of(key, field.as_bytes()),
            };
            return self.end_key(key, chunk, end);
        }
        self.text = Text::EMPTY;
        self.key_has = Some(0);
        self.is_exact = true;
        Ok((Position::Key, at))
    }

    #[inline(never)]
    fn key_piece(&mut self, chunk: &Chunk<'_>, at: usize) -> Step {
        let field = self.field.as_deref().unwrap_or(FIELD).as_bytes();
        let (has, is_exact) = (&mut self.key_has, &mut self.is_exact);
        let quote = self
            .text
            .decode(chunk.from(at), |part| {
                let wanted = has.and_then(|has| field.get(has..has + part.len()));
                *is_exact &= wanted == Some(part);
                *has = has
                    .filter(|_| wanted.is_some_and(|wanted| wanted.eq_ignore_ascii_case(part)))
                    .map(|has| has + part.len());
            })
            .map_err(|bad| syntax(chunk, at + bad))?;
        let Some(quote) = quote else {
            return Ok((Position::Key, chunk.len()));
        };
        let key = match *has == Some(field.len()) {
            true if *is_exact => Key::Model,
            true => Key::Variant,
            false => Key::Other,
        };
        self.end_key(key, chunk, at + quote + 1)
    }

    #[inline(always)]
    fn end_key(&mut self, key: Key, chunk: &Chunk<'_>, at: usize) -> Step {
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
        self.colon(chunk, at)
    }

    #[inline(always)]
    fn colon(&mut self, chunk: &Chunk<'_>, at: usize) -> Step {
        match chunk.byte(at) {
            Some(b':') => self.value(chunk, at + 1),
            _ => stay(Position::Colon, chunk, at),
        }
    }

    #[inline(always)]
    fn value(&mut self, chunk: &Chunk<'_>, at: usize) -> Step {
        self.value_start = chunk.offset_of(at);
        match chunk.byte(at) {
            Some(b'"') if self.is_model => self.name(chunk, at + 1),
            Some(b'"') => {
                self.skipped = Strings::INSIDE;
                Ok((Position::Skipped, at + 1))
            }
            Some(b'[' | b'{') => {
                self.nested = Nested::default();
                Ok((Position::Nested, at + 1))
            }
            byte => match byte.and_then(Scalar::begin) {
                Some(scalar) => self.scalar(scalar, chunk, at + 1),
                None => stay(Position::Value, chunk, at),
            },
        }
    }

    /// The model's string from its beginning.
    #[inline(always)]
    fn name(&mut self, chunk: &Chunk<'_>, at: usize) -> Step {
        let rest = chunk.from(at);
        if let Some(name) = plain(rest.get(..=MAX_NAME).unwrap_or(rest)) {
            return self.end_name(name.to_vec(), chunk, at + name.len() + 1);
        }
        self.text = Text::EMPTY;
        Ok((Position::Name, at))
    }

    #[inline(never)]
    fn name_piece(&mut self, chunk: &Chunk<'_>, at: usize) -> Step {
        // Text beyond the limit is neither decoded nor kept: there may be only the closing quote.
        let read = chunk.offset_of(at) - self.value_start - 1;
        let room = MAX_NAME.saturating_sub(read as usize);
        let rest = chunk.from(at);
        let name = &mut self.name;
        let quote = self
            .text
            .decode(rest.get(..=room).unwrap_or(rest), |part| {
                name.extend_from_slice(part);
            })
            .map_err(|bad| match bad < room {
                true => Refusal::InvalidName,
                false => Refusal::NameTooLong,
            })?;
        match quote {
            Some(quote) => {
                let name = std::mem::take(name);
                self.end_name(name, chunk, at + quote + 1)
            }
            None if rest.len() > room => Err(Refusal::NameTooLong),
            None => Ok((Position::Name, chunk.len())),
        }
    }

    fn end_name(&mut self, name: Vec<u8>, chunk: &Chunk<'_>, at: usize) -> Step {
        let name = String::from_utf8(name).map_err(|_| Refusal::InvalidName)?;
        self.record(chunk.offset_of(at), Value::Name(name));
        Ok((Position::Comma, at))
    }

    #[inline(always)]
    fn skipped(&mut self, chunk: &Chunk<'_>, at: usize) -> (Position, usize) {
        match skip_string(self.machine, &mut self.skipped, chunk.from(at)) {
            None => (Position::Skipped, chunk.len()),
            Some(quote) => self.end_value(chunk, at + quote + 1),
        }
    }

    #[inline(always)]
    fn nested(&mut self, chunk: &Chunk<'_>, at: usize) -> Step {
        match self.nested.skip(self.machine, chunk.from(at)) {
            Ok(None) => Ok((Position::Nested, chunk.len())),
            Ok(Some(end)) => Ok(self.end_value(chunk, at + end)),
            Err(stray) => Err(syntax(chunk, at + stray)),
        }
    }

    #[inline(always)]
    fn scalar(&mut self, scalar: Scalar, chunk: &Chunk<'_>, at: usize) -> Step {
        let (scalar, len) = scalar.read(chunk.from(at));
        let at = at + len;
        if at == chunk.len() {
            return Ok((Position::Scalar(scalar), at));
        }
        if !scalar.is_whole() {
            return Err(syntax(chunk, at));
        }
        Ok(self.end_value(chunk, at))
    }

    #[inline(always)]
    fn end_value(&mut self, chunk: &Chunk<'_>, at: usize) -> (Position, usize) {
        if self.is_model {
            self.record(chunk.offset_of(at), Value::NotAString);
        }
        (Position::Comma, at)
    }

    fn record(&mut self, end: u64, value: Value) {
        let span = self.value_start..end;
        self.models.push(Model { span, value });
    }

    #[inline(always)]
    fn comma(&mut self, chunk: &Chunk<'_>, at: usize) -> Step {
        match chunk.byte(at) {
            Some(b',') => self.next_key(chunk, at + 1),
            Some(b'}') => Ok((Position::End, at + 1)),
            _ => stay(Position::Comma, chunk, at),
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
fn mark(read: u8, chunk: &Chunk<'_>, at: usize) -> Step {
    if chunk.byte(at) != MARK.get(usize::from(read)).copied() {
        return Err(syntax(chunk, at));
    }
    match usize::from(read) + 1 == MARK.len() {
        true => Ok((Position::Start, at + 1)),
        false => Ok((Position::Mark(read + 1), at + 1)),
    }
}

/// Skips white space, which leaves the position the same. Anything else is a syntax error.
#[inline(never)]
fn stay(position: Position, chunk: &Chunk<'_>, mut at: usize) -> Step {
    let before = at;
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = chunk.byte(at) {
        at += 1;
    }
    // Without progress the caller would loop forever.
    if at == before && at < chunk.len() {
        return Err(syntax(chunk, at));
    }
    Ok((position, at))
}

#[cold]
fn syntax(chunk: &Chunk<'_>, at: usize) -> Refusal {
    Refusal::Syntax {
        offset: chunk.offset_of(at),
    }
}
