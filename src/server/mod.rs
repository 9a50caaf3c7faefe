//! ModelServers: groups of engine endpoints, and the choice of one of them.

mod balance;
mod endpoint;
mod health;
mod lease;
mod model_server;
mod outlook;
mod queue;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    balance::affinity::Caller,
    endpoint::Endpoint,
    health::Standing,
    lease::{Lease, Outcome},
    model_server::{Choice, RealModel, Server, Take},
};
