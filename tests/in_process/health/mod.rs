//! Endpoints that fail, and how they come back.

mod active_checks;
mod ejected_and_tried_again;
mod retry_after_is_respected;
