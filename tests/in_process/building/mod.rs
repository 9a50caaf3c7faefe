//! What `RouteTableBuilder::build` refuses, and what it takes.

mod configuration_is_data;
mod engine_headers;
mod mistakes_are_named_at_once;
mod mistakes_are_refused;
mod odd_but_valid;
