//! The layer as a tower service: the service below it is a mock, and bodies are scripts.

mod always_ready;
mod any_body_type;
mod authorized_first;
mod auto_traits;
mod body_limit;
mod body_rate;
mod body_timeout;
mod decision_is_told;
mod head_has_no_content;
mod in_flight_returns_to_zero;
mod in_flight_until_the_end;
mod models_are_listed;
mod without_model;
