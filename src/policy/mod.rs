//! What stands between the layer and the client: sending again, and time limits.

mod attempt_timeout;
mod failover;
mod health_check;
mod outcome;

pub(crate) use self::outcome::{outcome_of_answer, outcome_of_error};
pub use self::{
    attempt_timeout::{AttemptTimeout, AttemptTimeoutFuture, AttemptTimeoutLayer},
    failover::{Failover, RetryInterval},
    health_check::{HealthCheck, HealthCheckHandle},
};
