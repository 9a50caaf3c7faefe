//! ModelServers: groups of engine endpoints, and the choice of one of them.

mod balance;
mod complaints;
mod endpoint;
mod health;
mod homes;
mod lease;
mod model_server;
mod outlook;
mod queue;
mod reported;
#[cfg(test)]
mod tests;
mod wait;

#[cfg(feature = "dns")]
pub(crate) use self::complaints::Complaints;
pub(crate) use self::{
    balance::affinity::{Caller, client_ip},
    endpoint::Endpoint,
    homes::{Home, Homes},
    lease::{Lease, Outcome},
    model_server::{Pass, RealModel, Server, Take},
    reported::requests,
};
pub use self::{
    health::EndpointHealth,
    reported::{LoadReport, ReportSource, ReportedLoad},
};
