//! The API server fails, or is not as others are.

mod api_server_away;
mod either_way_of_listing;
mod slow_api_server;
