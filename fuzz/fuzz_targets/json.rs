//! Any bytes: the scanner neither panics nor depends on how a document is cut into chunks or on
//! the machine's instructions, and accepts what serde_json accepts, with the same names.
//!
//! ```text
//! mkdir -p fuzz/corpus/json  # where it puts what it finds
//! cargo +nightly fuzz run json fuzz/corpus/json fuzz/seeds/json -- -dict=fuzz/dictionaries/json
//! ```
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tower_model_route::fuzz::json(input));
