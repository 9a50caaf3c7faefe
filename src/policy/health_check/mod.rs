//! Active health checks.

mod options;
mod round;
mod verdicts;

pub use self::options::{HealthCheck, HealthCheckHandle};
