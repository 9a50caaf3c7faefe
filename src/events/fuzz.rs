//! The properties that must hold for every input: the entry point of the fuzz target.

use serde::de::IgnoredAny;

use super::{
    dialect::Dialect,
    event::{Event, Kinds},
    format::Format,
    hear::hear,
    reader::Reader,
    write::data_of,
};

const FORMATS: [Format; 4] = [Format::Sse, Format::Ndjson, Format::Json, Format::Opaque];

/// The first byte chooses dialect and format, the second the cuts, and the rest is the answer.
pub(crate) fn fuzz_events(input: &[u8]) {
    let &[choice, cut, ref answer @ ..] = input else {
        return;
    };
    let dialect = Dialect::ALL[usize::from(choice) % Dialect::ALL.len()];
    let format = FORMATS[usize::from(choice) / Dialect::ALL.len() % FORMATS.len()];
    let reader = Reader::new(dialect, format);
    let whole = hear(reader.clone(), [answer]);
    let length = usize::from(cut) % 130 + 1;
    assert_eq!(hear(reader.clone(), answer.chunks(length)), whole);
    assert_eq!(hear(reader.clone().parsing(), [answer]), whole);
    assert_eq!(hear(reader.parsing(), answer.chunks(length)), whole);
    for event in &whole.events {
        check(format, event, answer);
    }
}

/// What serde_json accepts is not malformed.
fn check(format: Format, event: &Event, answer: &[u8]) {
    let bytes = &answer[event.start as usize..event.end as usize];
    let is_marked = event.start > 0 && bytes.starts_with(b"\xef\xbb\xbf");
    if format == Format::Sse && !is_marked && event.is(Kinds::MALFORMED) {
        let data = data_of(format, bytes);
        assert!(serde_json::from_slice::<IgnoredAny>(&data).is_err());
    }
}
