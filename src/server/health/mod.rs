//! The health of an endpoint, judged by its answers and shared by all requests.

mod fresh;
mod record;
mod recovery;
mod shared;
mod state;

pub use self::state::EndpointHealth;
pub(crate) use self::{record::Verdict, recovery::Recovery, shared::Health, state::HealthState};
