//! Replacing the table under load.

mod no_request_is_lost;
