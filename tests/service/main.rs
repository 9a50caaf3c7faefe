//! The layer as a tower service: readiness, limits, bodies, counts and what it leaves behind.
//!
//! No sockets and no real time: the inner service is a mock, the bodies are scripts, and the
//! clock is paused.

mod auto_traits;
mod body_kinds;
mod body_limit;
mod body_timeout;
mod calls_inside;
mod collect;
mod decision;
mod extract;
mod http_layers;
mod in_flight;
mod in_flight_any_mix;
mod limits_inside;
mod limits_outside;
mod models_endpoint;
mod readiness;
mod script;
mod support;
mod trace;
mod trace_secrets;
mod without_model;
