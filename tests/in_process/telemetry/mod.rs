//! What is logged of a request, and what is not.

pub(super) mod collect;

mod one_span_a_request;
mod prompts_are_never_logged;
