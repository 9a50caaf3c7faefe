//! What an engine says in its answer: a reader beside the bytes that stream through.
//!
//! A [`Reader`] is shown every byte of an answer and says what each event is ([`Kinds`]), where it
//! ends, what was used ([`Usage`]), what an error says ([`Said`]), and at last how the stream ended
//! ([`End`]). It does no I/O, knows no time, and changes nothing.
//!
//! ```text
//! answer's head -> Format: how the bytes are cut into events (SSE, NDJSON, one JSON, opaque)
//! path          -> Dialect: what a clean end needs, and how an error is written
//! bytes -> lines (sse) -> JSON (json): the paths of keys that matter (names) -> Event
//! ```
//!
//! Which keys matter does not depend on the dialect: those of all dialects are one tree, because
//! none means one thing in one API and another in the next. So what a path does not tell
//! (`/invocations`) is understood all the same, and an error in another dialect's shape too: vLLM
//! sends OpenAI's on `/v1/messages`.
//!
//! The state is a few hundred bytes, whatever arrives. What is kept beyond that is bounded: the
//! text of an error, and the last content event of at most [`MAX_TEMPLATE`] bytes, from which the
//! next mostly differs by nothing but its text: such an event is compared and not parsed.
//!
//! Nested values that do not matter are only skipped: their strings and their depth are tracked.
//! Not detected are therefore brackets that close another kind and anything between the tokens
//! there; nor, anywhere, bad escapes and broken UTF-8.

mod api;
mod dialect;
mod event;
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
mod said;
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
    format::Format,
    reader::Reader,
    said::Said,
    template::MAX_TEMPLATE,
    usage::Usage,
    write::{Interruption, data_of, error_event, keep_alive},
};
