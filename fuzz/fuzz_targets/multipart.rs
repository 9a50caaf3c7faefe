//! Any bytes: the scanner neither panics nor depends on how a body is cut into chunks, and
//! replacing a model changes nothing else.
//!
//! The input is a byte that chooses the cuts, a line with a Content-Type, and the body.
//!
//! ```text
//! mkdir -p fuzz/corpus/multipart  # where it puts what it finds
//! cargo +nightly fuzz run multipart fuzz/corpus/multipart fuzz/seeds/multipart -- -dict=fuzz/dictionaries/multipart
//! ```
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tower_model_route::fuzz::multipart(input));
