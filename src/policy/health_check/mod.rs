//! Active health checks.

mod options;
mod verdicts;

pub use self::options::{HealthCheck, HealthCheckHandle};
