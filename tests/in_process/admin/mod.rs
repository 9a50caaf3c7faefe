//! The admin view: its page, its JSON, explanations, and what it refuses.

mod view;

mod as_the_layer_reads;
mod auto_traits;
mod endpoints_are_drained;
mod explanations;
mod kept_from_others;
mod last_minute;
mod page_is_safe;
mod request_ids;
mod table_as_json;
mod warnings;
