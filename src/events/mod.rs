//! What an engine says in its answer: a reader of the bytes as they stream through.
//!
//! A [`Reader`] is shown every byte of an answer and says what each event is ([`Kinds`]), where it
//! ends, what was used ([`Usage`]), what an error says ([`EventError`]), and finally how the stream ended
//! ([`End`]). It does no I/O, has no clock, and changes nothing.
//!
//! ```text
//! answer's head -> Format: how the bytes are cut into events (SSE, NDJSON, one JSON, opaque)
//! path          -> Dialect: what a clean end needs, and how an error is written
//! bytes -> lines (sse) -> JSON (json): the paths of keys that matter (names) -> Event
//! ```
//!
//! The keys that matter do not depend on the dialect: those of all dialects form one tree,
//! because no key has different meanings in different APIs. So an answer is understood even if
//! its path does not tell the API (`/invocations`), and so is an error in another dialect's
//! shape: vLLM sends OpenAI's on `/v1/messages`.
//!
//! The state is a few hundred bytes, whatever arrives. What is kept beyond that is bounded: the
//! text of an error, and the last content event of at most [`MAX_TEMPLATE`] bytes, from which the
//! next one usually differs only in its text: such an event is compared, not parsed.
//!
//! Nested values that do not matter are skipped: only their strings and their depth are tracked.
//! Mismatched brackets and garbage between tokens there are therefore not detected; bad escapes
//! and invalid UTF-8 are not detected anywhere.

mod api;
mod dialect;
mod event;
mod event_error;
mod format;
#[cfg(fuzzing)]
mod fuzz;
#[cfg(any(test, fuzzing))]
mod hear;
mod ids;
mod json;
mod made;
mod names;
mod reader;
mod sse;
mod template;
#[cfg(test)]
mod tests;
mod usage;
mod value;
mod word;
mod write;

#[cfg(fuzzing)]
pub(crate) use self::fuzz::fuzz_events;
pub(crate) use self::{api::Api, ids::Ids, made::Made, usage::MOST_TOKENS, write::failure_event};
pub use self::{
    dialect::Dialect,
    event::{End, Event, Kinds},
    event_error::EventError,
    format::Format,
    reader::Reader,
    template::MAX_TEMPLATE,
    usage::Usage,
    write::{Interruption, data_of, error_event, keep_alive},
};
