//! Any bytes: the scanner neither panics nor depends on how a document is cut into chunks or on
//! the machine's instructions, and accepts what serde_json accepts, with the same names.
//!
//! `cargo +nightly fuzz run json fuzz/seeds/json -- -dict=fuzz/dictionaries/json`
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tower_model_route::fuzz::json(input));
