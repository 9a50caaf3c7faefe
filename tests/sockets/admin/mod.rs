//! The admin view in a server.

mod mounted_in_axum;
mod refusals_arrive;
