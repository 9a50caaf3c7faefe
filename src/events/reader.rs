use memchr::memchr;

use super::{
    dialect::Dialect,
    event::{End, Event, Kinds},
    event_error::EventError,
    format::Format,
    names::Type,
    sse::{Piece, Sse},
    template::{MAX_TEMPLATE, Template},
    usage::Usage,
    value::Value,
};

const MARK: &[u8] = &[0xEF, 0xBB, 0xBF];

/// Reads an answer as it arrives, however it is cut into chunks.
///
/// ```text
/// let mut reader = Reader::new(Dialect::of(path), Format::of(headers));
/// for chunk in body {
///     let mut rest = &chunk[..];
///     while let Some(event) = reader.next(&mut rest) { ... }   // each event that ends in the chunk
/// }
/// let (event, end) = reader.end();                             // a last one without an end of its own
/// ```
///
/// After each event, [`usage`](Self::usage) and [`error`](Self::error) say what is known by then.
#[derive(Clone, Debug)]
pub struct Reader {
    dialect: Dialect,
    format: Format,
    /// How many bytes of a byte order mark have been read, or all of them if there is none.
    mark: u8,
    /// How many bytes have been read.
    read: u64,
    /// Where the next event starts.
    start: u64,
    sse: Sse,
    list: List,
    /// Whether the document is an array.
    is_array: bool,
    value: Value,
    template: Template,
    seen: Kinds,
    contents: u64,
    /// Whether a finish has come, and no content behind it.
    is_finished: bool,
    /// Whether the usage was reported with a finish or behind it, and no content behind that.
    is_final: bool,
    error: Option<Box<EventError>>,
}

/// Where in a document the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Start,
    /// Within the one value.
    Single,
    /// Before an element of an array, or behind the last.
    Between,
    Element,
    End,
}

impl Reader {
    /// Before the first byte of an answer's body.
    pub fn new(dialect: Dialect, format: Format) -> Self {
        Self {
            dialect,
            format,
            mark: 0,
            read: 0,
            start: 0,
            sse: Sse::new(),
            list: List::Start,
            is_array: false,
            value: Value::default(),
            template: Template::new(MAX_TEMPLATE),
            seen: Kinds::NONE,
            contents: 0,
            is_finished: false,
            is_final: false,
            error: None,
        }
    }

    /// That parses every event.
    #[cfg(any(test, fuzzing))]
    pub(super) fn parsing(self) -> Self {
        Self {
            template: Template::new(0),
            ..self
        }
    }

    /// Reads on, to the end of the next event or of `rest`: what it has read is gone from `rest`.
    /// `None` says that `rest` is used up.
    #[inline]
    pub fn next(&mut self, rest: &mut &[u8]) -> Option<Event> {
        if usize::from(self.mark) < MARK.len() {
            self.skip_mark(rest);
        }
        let event = match self.format {
            Format::Sse => self.next_of_sse(rest),
            Format::Ndjson => self.next_line(rest),
            Format::Json => self.next_element(rest),
            Format::Opaque => {
                self.advance(rest, rest.len());
                None
            }
        };
        match &event {
            Some(event) => self.passed(event),
            None => self.value.rest(),
        }
        event
    }

    /// Marks the end of the body: a last event, if nothing but the end of its line was missing, and
    /// how the stream ended.
    pub fn end(&mut self) -> (Option<Event>, End) {
        let has_rest = match self.format {
            Format::Sse => self.sse.is_within(),
            Format::Ndjson => !self.value.is_empty(),
            Format::Json => matches!(self.list, List::Single | List::Element),
            Format::Opaque => false,
        };
        let is_event = has_rest && self.value.is_whole();
        let event = is_event.then(|| self.event());
        if let Some(event) = &event {
            self.passed(event);
        }
        (event, self.how(has_rest && !is_event))
    }

    #[inline]
    fn passed(&mut self, event: &Event) {
        self.start = event.end;
        self.seen |= event.kinds;
        self.contents += u64::from(event.is(Kinds::CONTENT));
        // Of several choices the first may end long before the last.
        self.is_finished = event.is(Kinds::FINISH) || self.is_finished && !event.is(Kinds::CONTENT);
        self.is_final = match event.is(Kinds::USAGE) {
            true => self.is_finished || self.seen.has(Kinds::TERMINAL),
            false => self.is_final && !event.is(Kinds::CONTENT),
        };
    }

    fn how(&self, is_within: bool) -> End {
        let signs_of_life = [Kinds::PING, Kinds::NONE];
        if self.is_finished || self.seen.has(Kinds::TERMINAL) {
            End::Complete
        } else if is_within {
            End::Truncated
        } else if self.format == Format::Opaque {
            End::Complete
        } else if signs_of_life.contains(&self.seen) {
            End::Empty
        } else if !self.dialect.has_terminal() || self.is_whole_array() {
            End::Complete
        } else if self.list == List::Between {
            End::Truncated
        } else {
            End::Unterminated
        }
    }

    /// Whether nothing is missing, even if the connection was lost: a finish or a terminal was seen, or
    /// the end of a list.
    pub(crate) fn has_ended(&self) -> bool {
        self.is_finished || self.seen.has(Kinds::TERMINAL) || self.is_whole_array()
    }

    fn is_whole_array(&self) -> bool {
        self.list == List::End && !self.seen.has(Kinds::MALFORMED)
    }

    /// What the engine has reported so far.
    pub fn usage(&self) -> &Usage {
        self.value.usage()
    }

    /// Whether that is all of it: it came with the end of the last choice, or behind that. (vLLM's
    /// continuous usage comes with each event, and counts a choice.)
    pub fn has_final_usage(&self) -> bool {
        self.is_final
    }

    /// What the first error event says.
    pub fn error(&self) -> Option<&EventError> {
        self.error.as_deref()
    }

    /// All that the events so far were.
    pub fn seen(&self) -> Kinds {
        self.seen
    }

    /// How many events so far have content: usually one for each token or a
    /// few.
    pub fn contents(&self) -> u64 {
        self.contents
    }

    /// How many bytes have been read.
    pub fn bytes(&self) -> u64 {
        self.read
    }

    /// Whether nothing of a next event has been read: no byte of a line, and no line but empty ones.
    pub fn is_between(&self) -> bool {
        let is_within_mark = (1..MARK.len()).contains(&usize::from(self.mark));
        match self.format {
            Format::Sse => self.sse.is_between() && !is_within_mark,
            Format::Ndjson => self.value.is_empty() && !is_within_mark,
            Format::Json | Format::Opaque => false,
        }
    }

    /// Whether an event so far had an `id`, which clients keep for those behind it.
    pub(crate) fn has_ids(&self) -> bool {
        self.sse.has_ids()
    }

    /// The API that is read.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether the answer is a stream of events, as far as has been read: Gemini's may be an array.
    pub(crate) fn is_stream(&self) -> bool {
        self.format != Format::Json || self.is_array
    }

    /// How the answer is cut into events.
    pub fn format(&self) -> Format {
        self.format
    }

    #[cold]
    fn skip_mark(&mut self, rest: &mut &[u8]) {
        while let Some(&expected) = MARK.get(usize::from(self.mark)) {
            match rest.first() {
                None => return,
                Some(&byte) if byte == expected => {
                    self.advance(rest, 1);
                    self.mark += 1;
                }
                Some(_) => self.mark = MARK.len() as u8,
            }
        }
    }

    #[inline]
    fn advance<'a>(&mut self, rest: &mut &'a [u8], len: usize) -> &'a [u8] {
        let (read, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        *rest = after;
        self.read += read.len() as u64;
        read
    }

    #[inline]
    fn next_of_sse(&mut self, rest: &mut &[u8]) -> Option<Event> {
        let mut whole = None;
        while !rest.is_empty() {
            if self.sse.may_begin() {
                if let Some(event) = self.as_before(rest) {
                    return Some(event);
                }
                whole = Some(*rest);
            }
            let before = rest.len();
            let piece = self.sse.read(rest);
            let offset = self.read;
            self.read += (before - rest.len()) as u64;
            match piece {
                Piece::Nothing => {}
                Piece::Data(data) => self.value.feed(data, offset),
                Piece::NextLine => self.value.newline(),
                Piece::End => return Some(self.whole_event(whole, rest)),
            }
        }
        None
    }

    /// An event like the last one with content.
    #[inline]
    fn as_before(&mut self, rest: &mut &[u8]) -> Option<Event> {
        let (kinds, len) = self.template.read(rest, self.value.usage_mut())?;
        let bytes = self.advance(rest, len);
        self.sse.ended_with(bytes.last());
        self.value.begin_at(self.read);
        Some(Event {
            kinds,
            start: self.start,
            end: self.read,
        })
    }

    /// The event that ends before `rest`. If it was read in one piece, `whole` is where it began.
    fn whole_event(&mut self, whole: Option<&[u8]>, rest: &[u8]) -> Event {
        let event = self.end_event();
        let bytes = whole.and_then(|whole| whole.get(..whole.len() - rest.len()));
        if let Some(bytes) = bytes {
            self.template.keep(bytes, &event, self.value.holes());
        }
        self.begin();
        event
    }

    fn next_line(&mut self, rest: &mut &[u8]) -> Option<Event> {
        let mut whole = None;
        while !rest.is_empty() {
            if self.value.is_empty() {
                if let Some(event) = self.as_before(rest) {
                    return Some(event);
                }
                whole = Some(*rest);
            }
            let end = memchr(b'\n', rest);
            let offset = self.read;
            let line = self.advance(rest, end.unwrap_or(rest.len()));
            self.value.feed(line, offset);
            if end.is_some() {
                self.advance(rest, 1);
                if !self.value.is_empty() {
                    return Some(self.whole_event(whole, rest));
                }
            }
        }
        None
    }

    fn next_element(&mut self, rest: &mut &[u8]) -> Option<Event> {
        loop {
            match self.list {
                List::Single | List::Element => {
                    let offset = self.read;
                    let used = self.value.feed_one(rest, offset);
                    self.advance(rest, used);
                    if self.value.is_empty() || !self.value.is_ended() {
                        return None;
                    }
                    let is_element = self.list == List::Element && self.value.is_whole();
                    self.list = match is_element {
                        true => List::Between,
                        false => List::End,
                    };
                    return Some(self.event());
                }
                List::Start | List::Between => {
                    let &byte = rest.first()?;
                    match (self.list, byte) {
                        (_, b' ' | b'\t' | b'\r' | b'\n') | (List::Between, b',') => {
                            self.advance(rest, 1);
                        }
                        (List::Start, b'[') if self.dialect == Dialect::Gemini => {
                            self.advance(rest, 1);
                            self.is_array = true;
                            self.list = List::Between;
                        }
                        (List::Start, _) => self.list = List::Single,
                        (_, b']') => {
                            self.advance(rest, 1);
                            self.list = List::End;
                        }
                        _ => self.list = List::Element,
                    }
                }
                List::End => {
                    self.advance(rest, rest.len());
                    return None;
                }
            }
        }
    }

    /// The event that ends here, with nothing left over.
    fn event(&mut self) -> Event {
        let event = self.end_event();
        self.begin();
        event
    }

    fn begin(&mut self) {
        self.value.begin(self.read);
        self.sse.begin();
    }

    /// The event that ends here.
    fn end_event(&mut self) -> Event {
        let kinds = self.kinds();
        if kinds.has(Kinds::ERROR) && self.error.is_none() {
            self.error = Some(self.value.take_error().unwrap_or_default());
        }
        Event {
            kinds,
            start: self.start,
            end: self.read,
        }
    }

    fn kinds(&self) -> Kinds {
        if self.value.is_empty() {
            return match self.sse.name() {
                Type::Error => Kinds::ERROR,
                _ => Kinds::PING,
            };
        }
        let mut kinds = self.value.found().kinds;
        let name = match self.value.found().name {
            Type::None => self.sse.name(),
            name => name,
        };
        kinds |= match name {
            Type::Start => Kinds::START,
            Type::Ping => Kinds::PING,
            Type::Terminal => Kinds::TERMINAL,
            Type::Failed => Kinds::TERMINAL | Kinds::ERROR,
            Type::Error => Kinds::ERROR,
            Type::None | Type::Other => Kinds::NONE,
        };
        let is_known = self.dialect.has_terminal();
        let says_end = kinds.has(Kinds::ERROR) || kinds.has(Kinds::TERMINAL);
        if !is_known && !says_end {
            kinds |= Kinds::CONTENT;
        }
        let is_whole = self.value.is_whole();
        if is_known && !is_whole {
            kinds |= Kinds::MALFORMED;
        }
        if is_whole && matches!(self.list, List::Single | List::End) {
            kinds |= Kinds::TERMINAL;
        }
        match kinds.is_empty() {
            true => Kinds::METADATA,
            false => kinds,
        }
    }
}
