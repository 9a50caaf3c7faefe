//! Which paths reach an engine, and as which.

mod below_a_nested_router;
mod nothing_leaves_the_prefix;
mod only_inference_apis_pass;
