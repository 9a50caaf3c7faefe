//! The incremental scanner of JSON: finds the top-level `model` of a document that
//! arrives in chunks.
//!
//! The top level is read strictly, byte by byte: braces, keys, colons, commas,
//! white space, numbers and words must be valid JSON. Nested values are only
//! skipped, 64 bytes at a time by a kernel, or 8 where none is: the scanner tracks
//! their strings and their depth.
//! The following errors are therefore not detected, and left for the engine:
//! brackets that close another kind, and anything between the tokens inside of
//! a nested value; control characters, bad escapes and broken UTF-8 inside of
//! strings that are neither a top-level key nor the model.
//!
//! Apart from the model found, the state is a few words, whatever the document,
//! and no byte is read by two calls.

mod blocks;
mod document;
#[cfg(fuzzing)]
mod fuzz;
mod kernel;
mod masks;
mod model;
mod nested;
mod nesting;
mod pieces;
mod scalar;
mod scanner;
mod strings;
#[cfg(test)]
mod tests;
mod text;
mod utf8;
mod word;
mod words;

#[cfg(fuzzing)]
pub(crate) use self::fuzz::fuzz_json;
pub(crate) use self::{nested::skip_nested, scanner::Scanner, text::decode_text};
