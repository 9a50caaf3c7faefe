//! What is logged of a request, and what is not.

mod attempts_are_spans;
pub(super) mod collect;
mod failing_endpoints_are_said;
mod missing_layers_are_said;
mod one_span_a_request;
mod prompts_are_never_logged;
