//! Requests that belong together go to one endpoint.

mod users;

mod few_keys_move;
mod hot_keys_spill_over;
mod key_found_in_any_body;
mod keyless_go_by_load;
mod same_key_same_endpoint;
mod who_waits_for_the_key;
