//! Reads a whole answer, for tests.

use super::{
    event::{End, Event},
    reader::Reader,
    usage::Usage,
};

/// All that a reader says about an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) events: Vec<Event>,
    pub(super) end: End,
    pub(super) usage: Usage,
    /// Status, type, code and message of the error.
    pub(super) error: Option<(Option<u16>, String, String, String)>,
}

impl Heard {
    #[cfg(test)]
    pub(super) fn kinds(&self) -> Vec<super::event::Kinds> {
        self.events.iter().map(|event| event.kinds).collect()
    }
}

pub(super) fn hear<'a>(mut reader: Reader, chunks: impl IntoIterator<Item = &'a [u8]>) -> Heard {
    let mut events = Vec::new();
    let mut read = 0;
    for chunk in chunks {
        let mut rest = chunk;
        while let Some(event) = reader.next(&mut rest) {
            assert_eq!(event.end, read + (chunk.len() - rest.len()) as u64);
            events.push(event);
        }
        assert!(rest.is_empty());
        read += chunk.len() as u64;
        assert_eq!(reader.bytes(), read);
    }
    let (last, end) = reader.end();
    events.extend(last);
    let mut start = 0;
    for event in &events {
        assert!(event.start == start && event.end > start, "{events:?}");
        start = event.end;
    }
    assert!(start <= read);
    let error = reader.error().map(|error| {
        let status = error.status().map(|status| status.as_u16());
        (status, error.kind(), error.code(), error.message())
    });
    let usage = *reader.usage();
    Heard {
        events,
        end,
        usage,
        error,
    }
}
