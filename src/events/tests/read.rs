//! Reading a whole answer in every way.

use crate::events::{
    Dialect, Format, Kinds, Reader,
    hear::{Heard, hear},
};

pub(super) const START: Kinds = Kinds::START;
pub(super) const CONTENT: Kinds = Kinds::CONTENT;
pub(super) const USAGE: Kinds = Kinds::USAGE;
pub(super) const METADATA: Kinds = Kinds::METADATA;
pub(super) const PING: Kinds = Kinds::PING;
pub(super) const ERROR: Kinds = Kinds::ERROR;
pub(super) const FINISH: Kinds = Kinds::FINISH;
pub(super) const TERMINAL: Kinds = Kinds::TERMINAL;
pub(super) const MALFORMED: Kinds = Kinds::MALFORMED;

pub(super) fn sse(dialect: Dialect) -> Reader {
    Reader::new(dialect, Format::Sse)
}

/// Reads the answer whole, byte by byte, and cut in two at each byte; with and without templates.
pub(super) fn hear_every_way(reader: &Reader, answer: &[u8]) -> Heard {
    let heard = hear(reader.clone(), [answer]);
    for reader in [reader.clone(), reader.clone().parsing()] {
        assert_eq!(hear(reader.clone(), answer.chunks(1)), heard);
        for cut in 0..=answer.len() {
            let (one, other) = answer.split_at(cut);
            assert_eq!(hear(reader.clone(), [one, other]), heard, "cut at {cut}");
        }
    }
    heard
}
