//! The events of an answer, as it passes to the client.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use crate::{
    config::OnInterruption,
    error::{BoxError, RouteError},
    events::{Api, End, Event, EventError, Format, Interruption, Kinds, Reader, error_event},
};

/// Reads an answer, and decides what follows it at its end.
#[derive(Debug)]
pub(crate) struct Watch {
    reader: Reader,
    on_interruption: OnInterruption,
    /// Whether the client is told of an answer that breaks off, and it counts for the endpoint;
    /// otherwise it is only told.
    judges: bool,
    /// Whether the engine only reads out what it keeps. Then an error is none of this answer, what
    /// is asked for may all have been read before, and the next event may be long in coming.
    reads_out: bool,
    /// The request's.
    id: HeaderValue,
}

/// What a part of an answer brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The generation has made progress.
    pub(super) progress: bool,
    /// The engine says that it has failed, in an error by which the client is not at fault.
    pub(super) failed: bool,
    /// All that its events are.
    pub(super) kinds: Kinds,
}

/// How an answer has ended.
#[derive(Debug)]
pub(super) enum Ending {
    Complete,
    /// With an error by which the client is at fault, and what it still gets.
    Refused(Farewell),
    /// The engine has failed, and what the client still gets.
    Failed(Farewell),
}

/// What the client gets in place of what is missing of an answer.
#[derive(Debug)]
pub(super) enum Farewell {
    /// The end of the message.
    End,
    /// This, and then the end of the message.
    Event(Bytes),
    /// A message that is broken off.
    Break(BoxError),
}

impl Farewell {
    /// The same behind these bytes. A message that breaks off needs none of an event's beginning.
    pub(super) fn behind(self, bytes: Bytes) -> Self {
        match self {
            farewell if bytes.is_empty() => farewell,
            Self::End => Self::Event(bytes),
            Self::Event(event) => Self::Event([&*bytes, &*event].concat().into()),
            Self::Break(error) => Self::Break(error),
        }
    }
}

impl Watch {
    /// Watches an answer with these `headers`, for what the policy asks for (`judges`), or only to
    /// tell of it (`tells`).
    ///
    /// `None` if it has no events. One JSON value with a length can't be cut short unnoticed: it is
    /// only told of.
    pub(crate) fn new(
        api: Api,
        headers: &HeaderMap,
        has_length: bool,
        (judges, tells): (bool, bool),
        on_interruption: OnInterruption,
        id: &HeaderValue,
    ) -> Option<Box<Self>> {
        let format = Format::of(headers);
        let is_whole = format == Format::Json;
        let judges = judges && !(is_whole && has_length);
        if format == Format::Opaque || !(judges || tells) {
            return None;
        }
        Some(Box::new(Self {
            reader: Reader::new(api.dialect, format),
            on_interruption: match on_interruption {
                _ if !judges => OnInterruption::Pass,
                OnInterruption::Event if is_whole => OnInterruption::Abort,
                what => what,
            },
            judges,
            reads_out: !api.generates,
            id: id.clone(),
        }))
    }

    /// Whether an answer that breaks off counts for the endpoint.
    pub(super) fn judges(&self) -> bool {
        self.judges
    }

    /// Whether the engine only reads out what it keeps.
    pub(super) fn reads_out(&self) -> bool {
        self.reads_out
    }

    pub(super) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Whether something may follow the engine's last byte, or the message is to be broken off.
    pub(super) fn may_add(&self) -> bool {
        self.reader.format() != Format::Json && self.on_interruption != OnInterruption::Pass
    }

    /// Whether a comment may stand between two of its events.
    pub(super) fn takes_comments(&self) -> bool {
        self.reader.format() == Format::Sse
    }

    /// Whether nothing of a next event has come.
    pub(super) fn is_between_events(&self) -> bool {
        self.reader.is_between()
    }

    /// Reads the next bytes; `each` is told of each event that ends in them.
    pub(super) fn read(&mut self, mut data: &[u8], mut each: impl FnMut(&Event)) -> Seen {
        let mut seen = Seen::default();
        while let Some(event) = self.reader.next(&mut data) {
            seen.add(&event);
            each(&event);
        }
        seen.failed = seen.failed && self.is_at_fault();
        // One JSON value makes progress with each byte.
        seen.progress |= self.reader.format() == Format::Json;
        seen
    }

    /// The body has come to its end; and what its last event is, if that has not been read before.
    pub(super) fn ended(&mut self) -> (Ending, Kinds) {
        let is_between = self.is_between_events();
        let (last, end) = self.reader.end();
        let kinds = last.map_or(Kinds::NONE, |event| event.kinds);
        let ending = match self.reader.error() {
            Some(error) => self.with_error(error, is_between),
            None => self.ending(end, is_between),
        };
        (ending, kinds)
    }

    fn ending(&self, end: End, is_between: bool) -> Ending {
        match end {
            End::Complete => Ending::Complete,
            End::Empty if self.reads_out || !self.reader.dialect().has_terminal() => {
                Ending::Complete
            }
            // Whatever it is, nothing is missing at its end.
            End::Empty | End::Unterminated if self.reader.format() == Format::Json => {
                Ending::Complete
            }
            End::Empty | End::Truncated | End::Unterminated => {
                let error = RouteError::interrupted();
                Ending::Failed(match self.on_interruption {
                    OnInterruption::Pass => Farewell::End,
                    _ => self.farewell(&error, error.clone().into(), is_between),
                })
            }
        }
    }

    /// The body has broken off with `cause`; `error` is what the client is told.
    pub(super) fn broke(&mut self, error: &RouteError, cause: BoxError) -> Ending {
        let is_between = self.is_between_events();
        // A last event may lack only the end of its line.
        _ = self.reader.end();
        match (self.on_interruption, self.reader.error()) {
            // Where no terminal is known, only a clean end is one.
            (_, None) if self.reader.has_ended() => Ending::Complete,
            (_, Some(_)) if self.reads_out => Ending::Complete,
            (OnInterruption::Event, Some(error)) => self.with_error(error, is_between),
            (OnInterruption::Pass, _) => Ending::Failed(Farewell::Break(cause)),
            _ => Ending::Failed(self.farewell(error, cause, is_between)),
        }
    }

    /// Whether an error that it has seen is one of the engine's.
    fn is_at_fault(&self) -> bool {
        !self.reads_out && !self.reader.error().is_some_and(is_clients)
    }

    fn with_error(&self, error: &EventError, is_between: bool) -> Ending {
        if self.reads_out {
            return Ending::Complete;
        }
        let farewell = self.engines_own(is_between);
        match is_clients(error) {
            true => Ending::Refused(farewell),
            false => Ending::Failed(farewell),
        }
    }

    /// The engine's own error has passed. If the body has ended with its last byte, clients do not
    /// know yet that it is whole.
    fn engines_own(&self, is_between: bool) -> Farewell {
        match self.on_interruption {
            OnInterruption::Event if !is_between => Farewell::Event(self.separator().into()),
            _ => Farewell::End,
        }
    }

    /// Ends an event, so that what follows is read on its own.
    fn separator(&self) -> &'static [u8] {
        match self.reader.format() {
            Format::Sse => b"\n\n",
            Format::Ndjson | Format::Json | Format::Opaque => b"\n",
        }
    }

    fn farewell(&self, error: &RouteError, cause: BoxError, is_between: bool) -> Farewell {
        let why = Interruption {
            status: error.status(),
            code: RouteError::INTERRUPTED,
            message: error.message(),
            id: &self.id,
        };
        let (dialect, format) = (self.reader.dialect(), self.reader.format());
        let event = error_event(dialect, format, &why);
        match event.filter(|_| self.on_interruption == OnInterruption::Event) {
            None => Farewell::Break(cause),
            Some(event) if is_between => Farewell::Event(event),
            Some(event) => Farewell::Event([self.separator(), &*event].concat().into()),
        }
    }
}

/// Whether the client is at fault, by the status of the error.
fn is_clients(error: &EventError) -> bool {
    error
        .status()
        .is_some_and(|status| status.is_client_error())
}

impl Seen {
    fn add(&mut self, event: &Event) {
        self.progress |= event.is_progress();
        self.failed |= event.is(Kinds::ERROR);
        self.kinds |= event.kinds;
    }
}
