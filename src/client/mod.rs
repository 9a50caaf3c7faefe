//! The HTTP client for engines: hyper's, adapted to inference engines.

mod builder;
mod connector;
mod failure;
mod pools;
mod service;
mod socket;
mod tls;

pub use self::{
    builder::{EngineClientBuilder, engine_client},
    service::{EngineClient, EngineFuture},
};
