//! Endpoints that fail, and how they come back.

mod active_checks;
mod ejected_and_tried_again;
mod outages_are_hidden;
mod retry_after_is_respected;
mod slow_start;
mod taken_out_of_service;
mod who_is_not_to_blame;
