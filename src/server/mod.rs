//! ModelServers: groups of engine endpoints, and the choice of one of them.

mod adapters;
mod ask;
mod asking;
mod balance;
mod complaints;
mod endpoint;
mod health;
mod homes;
mod key;
mod lease;
mod model_server;
mod outlook;
mod queue;
mod reported;
mod scores;
mod seating;
mod sessions;
mod suited;
#[cfg(test)]
mod tests;
mod wait;
mod wanted;
mod zones;

#[cfg(feature = "dns")]
pub(crate) use self::complaints::Complaints;
pub(crate) use self::{
    adapters::ServedNames,
    ask::Ask,
    endpoint::Endpoint,
    health::HealthState,
    homes::{Home, Homes},
    key::{Caller, client_ip},
    lease::{Declined, Lease, Outcome},
    model_server::{Among, Pass, RealModel, Server, Take},
    reported::requests,
    scores::{Figure, Score},
    seating::Unknown,
    wanted::Wanted,
    zones::Zones,
};
pub use self::{
    health::EndpointHealth,
    key::AffinityKeys,
    reported::{LoadReport, ReportSource, ReportedLoad},
};
