//! Compressed request bodies, from the client's request to the engine's.

mod codecs;
mod send;

mod bombs_are_refused;
mod cut_anywhere;
mod damaged_never_arrives;
mod extractor_reads_plain;
mod form_field_rewritten;
mod in_codings_that_engines_read;
mod members_are_one_body;
mod memory_is_bounded;
mod others_run_between;
mod sent_again;
mod two_models_are_refused;
mod unknown_codings_are_415;
