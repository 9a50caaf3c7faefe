//! What works below the layer: failover, time limits, errors that become
//! answers; and the health checks beside it.

mod answer_errors;
mod attempt_timeout;
mod failover;
mod failover_policy;
mod health_check;
mod readdress;

pub use self::{
    answer_errors::{AnswerErrors, AnswerErrorsFuture, AnswerErrorsLayer},
    attempt_timeout::{AttemptTimeout, AttemptTimeoutFuture, AttemptTimeoutLayer},
    failover::{FailoverFuture, FailoverLayer, FailoverService},
    failover_policy::{Failover, RetryInterval},
    health_check::{HealthCheck, HealthCheckHandle},
};
