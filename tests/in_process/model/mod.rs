//! The places where a request names its model, each from the client's request to the engine's.

mod send;

mod body_must_agree;
mod default_model_inserted;
mod extractor_decides;
mod form_field_rewritten;
mod header_must_agree;
mod name_mapped;
mod own_extractor;
mod path_rewritten;
mod query_rewritten_and_upgraded;
mod read_as_engines_read_it;
mod two_models_are_refused;
mod unnamed_routed;
