//! The layers below the `ModelRouteLayer`: failover, attempt timeouts, and
//! turning errors into answers. The health checks and other polling run beside
//! them, in tasks of their own.

mod answer_errors;
mod attempt_timeout;
mod bounded;
mod clock;
#[cfg(feature = "dns")]
mod dns;
mod engine_metrics;
mod error_body;
mod failover;
mod failover_policy;
mod first_event;
mod health_check;
mod lora_adapters;
mod poll;
mod readdress;
mod refusal;
mod request_copy;
mod served_models;
mod to_engine;

#[cfg(feature = "dns")]
pub use self::dns::{Dns, DnsHandle, Resolve, Resolved, SystemResolver};
pub use self::{
    answer_errors::{AnswerErrors, AnswerErrorsFuture, AnswerErrorsLayer},
    attempt_timeout::{AttemptTimeout, AttemptTimeoutFuture, AttemptTimeoutLayer},
    engine_metrics::{EngineMetrics, EngineMetricsHandle},
    failover::{FailoverFuture, FailoverLayer, FailoverService},
    failover_policy::{Failover, RetryInterval},
    health_check::{HealthCheck, HealthCheckHandle},
    lora_adapters::{AdapterOutcome, AdapterReport, LoadAdapter, LoraAdapters},
    served_models::{ServedModels, ServedModelsHandle},
};
