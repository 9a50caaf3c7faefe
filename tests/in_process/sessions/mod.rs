//! Requests that belong together, and what engines keep for them.

mod state_finds_its_engine;
mod stays_at_its_endpoint;
