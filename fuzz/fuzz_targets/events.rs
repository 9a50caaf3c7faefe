//! Any bytes: the reader of answers neither panics nor depends on how an answer is cut into chunks or
//! on the event before, and finds nothing malformed that serde_json accepts.
//!
//! The input is a byte that chooses dialect and format, one that chooses the cuts, and the answer.
//!
//! ```text
//! mkdir -p fuzz/corpus/events  # where it puts what it finds
//! cargo +nightly fuzz run events fuzz/corpus/events fuzz/seeds/events -- -dict=fuzz/dictionaries/events
//! ```
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tower_model_route::fuzz::events(input));
