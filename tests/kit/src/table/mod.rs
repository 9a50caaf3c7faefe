//! Tables, and snapshots of them.

mod build;
mod fixed;
mod look;

pub use build::{builder, one_server, retries, server, servers, single, table};
pub use fixed::{ALIAS, ENDPOINT, HOSTILE, REAL, hostile_names, of_each_kind, simple};
pub use look::{endpoint, failures, in_flight};
