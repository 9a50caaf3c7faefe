//! The scanner, which tracks the part of the body that the next byte belongs to.

use memchr::memchr;

use super::{
    content_type::Boundary,
    delimiter::{Before, Search},
    part_head::{self, Content, Field},
};
use crate::model::found::{Duplicates, MAX_MODELS, MAX_NAME, Model, Refusal, Value};

const CRLF: &[u8] = b"\r\n";

/// The longest header block of a part, in bytes.
pub(super) const MAX_HEAD: usize = 8 * 1024;

/// Scans a body for its `model` fields, chunk by chunk.
///
/// The chunks may be cut anywhere without changing the result. Memory is bounded
/// by 8 KiB and the models, and time is linear in the body, even for a hostile
/// one.
#[derive(Debug)]
pub(crate) struct Multipart {
    search: Search,
    state: State,
    /// The number of bytes of the body that have been processed.
    offset: u64,
    /// The header block with the CRLF before it, or the data of a field that is read up to here.
    buffer: Vec<u8>,
    duplicates: Duplicates,
    /// The model before the `--boundary` that has just been read.
    pending: Option<Model>,
    models: Vec<Model>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Preamble,
    /// After `--boundary`, and after the first of the two bytes that must follow it.
    Delimiter(Option<u8>),
    Head,
    Data(Part),
    Epilogue,
    Refused(Refusal),
}

#[derive(Clone, Copy, Debug)]
struct Part {
    field: Field,
    start: u64,
}

impl Part {
    /// The refusal of what is in this part, where it is more than a name can have.
    fn too_long(self) -> Refusal {
        match self.field {
            Field::Charset => self.malformed(),
            Field::Model(_) | Field::Other => Refusal::NameTooLong,
        }
    }

    fn malformed(self) -> Refusal {
        let offset = self.start;
        Refusal::Malformed { offset }
    }
}

impl Multipart {
    pub(crate) fn new(boundary: &Boundary, duplicates: Duplicates) -> Self {
        Self {
            search: Search::new(boundary),
            state: State::Preamble,
            offset: 0,
            buffer: Vec::new(),
            duplicates,
            pending: None,
            models: Vec::new(),
        }
    }

    /// The models whose values are complete: the delimiter after them has been read.
    pub(crate) fn models(&self) -> &[Model] {
        &self.models
    }

    /// As [`models`](Self::models), for callers that take the names out.
    pub(crate) fn models_mut(&mut self) -> &mut [Model] {
        &mut self.models
    }

    /// Reads the next bytes of the body.
    pub(crate) fn feed(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        let mut rest = chunk;
        loop {
            if let State::Refused(refusal) = self.state {
                return Err(refusal);
            }
            if rest.is_empty() {
                return Ok(());
            }
            match self.advance(rest) {
                Ok(used) => {
                    self.offset += used as u64;
                    rest = rest.get(used..).unwrap_or_default();
                }
                Err(refusal) => self.state = State::Refused(refusal),
            }
        }
    }

    /// Marks the end of the body.
    pub(crate) fn finish(&mut self) -> Result<(), Refusal> {
        let refusal = match self.state {
            State::Refused(refusal) => refusal,
            State::Epilogue if !self.models.is_empty() => return Ok(()),
            State::Epilogue => Refusal::Missing,
            _ => Refusal::Unclosed,
        };
        self.state = State::Refused(refusal);
        Err(refusal)
    }

    /// Processes at least one of the bytes, and returns how many.
    fn advance(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        match self.state {
            State::Preamble => self.preamble(bytes),
            State::Delimiter(first) => self.delimiter(first, bytes),
            State::Head => self.head(bytes),
            State::Data(part) => self.data(part, bytes),
            State::Epilogue => self.epilogue(bytes),
            State::Refused(refusal) => Err(refusal),
        }
    }

    fn preamble(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let Some(found) = self.search.find(bytes) else {
            return Ok(bytes.len());
        };
        match found.before {
            Before::Start | Before::Crlf => self.state = State::Delimiter(None),
            Before::Cr | Before::Lf | Before::Text => return Err(self.stray(found.end)),
        }
        Ok(found.end)
    }

    fn delimiter(&mut self, first: Option<u8>, bytes: &[u8]) -> Result<usize, Refusal> {
        self.state = match (first, bytes.first()) {
            (None, Some(byte @ (b'\r' | b'-'))) => State::Delimiter(Some(*byte)),
            (Some(b'\r'), Some(b'\n')) => {
                self.models.extend(self.pending.take());
                self.buffer.clear();
                self.buffer.extend_from_slice(CRLF);
                State::Head
            }
            (Some(b'-'), Some(b'-')) => {
                self.models.extend(self.pending.take());
                self.search.restart();
                State::Epilogue
            }
            _ => {
                let offset = self.offset;
                return Err(Refusal::Malformed { offset });
            }
        };
        Ok(1)
    }

    /// Takes one line into the buffer; an empty one ends the block.
    fn head(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let used = memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
        if self.buffer.len() + used > CRLF.len() + MAX_HEAD {
            return Err(Refusal::HeadersTooLong);
        }
        self.buffer.extend(bytes.iter().take(used));
        let block = self.buffer.strip_suffix(CRLF);
        if let Some(block) = block.filter(|block| block.ends_with(CRLF)) {
            let start = self.offset + used as u64;
            let block = block.get(CRLF.len()..).unwrap_or_default();
            let field = part_head::parse(block).map_err(|line| {
                let line = block.len() + CRLF.len() - line;
                let offset = start - line as u64;
                Refusal::Malformed { offset }
            })?;
            self.begin(Part { field, start })?;
        }
        Ok(used)
    }

    fn begin(&mut self, part: Part) -> Result<(), Refusal> {
        if matches!(part.field, Field::Model(_)) {
            match self.duplicates {
                Duplicates::Refuse if !self.models.is_empty() => return Err(Refusal::Duplicate),
                _ if self.models.len() >= MAX_MODELS => return Err(Refusal::TooManyModels),
                _ => {}
            }
        }
        self.buffer.clear();
        self.search.restart();
        self.state = State::Data(part);
        Ok(())
    }

    fn data(&mut self, part: Part, bytes: &[u8]) -> Result<usize, Refusal> {
        // What is read is kept together with its delimiter; no more bytes than this are needed.
        let most = MAX_NAME + self.delimiter_len();
        let is_kept = !matches!(part.field, Field::Other | Field::Model(Content::Opaque));
        let room = most + 1 - self.buffer.len();
        let bytes = bytes.get(..room).filter(|_| is_kept).unwrap_or(bytes);
        let found = self.search.find(bytes);
        let used = found.map_or(bytes.len(), |found| found.end);
        if is_kept {
            self.buffer.extend(bytes.iter().take(used));
            if self.buffer.len() > most {
                return Err(part.too_long());
            }
        }
        match found.map(|found| found.before) {
            None | Some(Before::Text) => {}
            Some(Before::Crlf) => {
                let end = self.offset + used as u64 - self.delimiter_len() as u64;
                self.pending = self.model(part, end)?;
                self.state = State::Delimiter(None);
            }
            Some(Before::Start | Before::Cr | Before::Lf) => return Err(self.stray(used)),
        }
        Ok(used)
    }

    /// The model in this part, if the part is one, given that its data ends at `end`. Refuses a
    /// charset in which the form may name another model.
    fn model(&self, part: Part, end: u64) -> Result<Option<Model>, Refusal> {
        let value = self.buffer.len().saturating_sub(self.delimiter_len());
        let value = self.buffer.get(..value).unwrap_or_default();
        match part.field {
            Field::Other => Ok(None),
            Field::Charset if is_utf8(value) => Ok(None),
            Field::Charset => Err(part.malformed()),
            Field::Model(content) => Ok(Some(Model {
                span: part.start..end,
                value: text(content, value),
            })),
        }
    }

    fn epilogue(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        match self.search.find(bytes) {
            None => Ok(bytes.len()),
            Some(found) => Err(self.stray(found.end)),
        }
    }

    /// The refusal of a `--boundary` that ends at `end` of the bytes received.
    fn stray(&self, end: usize) -> Refusal {
        let offset = self.offset + end as u64 - self.search.dash_boundary_len() as u64;
        Refusal::Malformed { offset }
    }

    /// The length of CRLF and `--boundary`.
    fn delimiter_len(&self) -> usize {
        CRLF.len() + self.search.dash_boundary_len()
    }
}

/// Whether a form in the charset of this name has its names in UTF-8.
fn is_utf8(charset: &[u8]) -> bool {
    let names: [&[u8]; 2] = [b"utf-8", b"us-ascii"];
    names.iter().any(|name| charset.eq_ignore_ascii_case(name))
}

fn text(content: Content, bytes: &[u8]) -> Value {
    match (content, std::str::from_utf8(bytes)) {
        (Content::Utf8, Ok(name)) if !name.starts_with('\u{feff}') => Value::Name(name.to_owned()),
        (Content::Ascii, Ok(name)) if name.is_ascii() => Value::Name(name.to_owned()),
        _ => Value::NotAString,
    }
}
