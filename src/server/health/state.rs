//! The states of an endpoint, as people see them and as the choice of an endpoint does.

use std::fmt;

use tokio::time::Instant;

/// Whether an endpoint gets requests.
///
/// The names are the same in code, in JSON and in the admin view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointHealth {
    /// It gets requests.
    Healthy,
    /// Its ejection has ended, and one request decides whether it is back.
    HalfOpen,
    /// It asked for a pause (`Retry-After`).
    Cooling,
    /// It failed too often in a row.
    Ejected,
    /// It failed too often in a row, but no more endpoints may be ejected: it
    /// gets one request a second.
    Failing,
    /// Its [`HealthCheck`](crate::HealthCheck) fails.
    Unhealthy,
    /// It has been taken out of service, whatever its health
    /// ([`RouteTableHandle::drain`](crate::RouteTableHandle::drain)): it gets no requests at all.
    Draining,
}

impl EndpointHealth {
    /// The name, in lower case: `healthy`, `half-open`, `cooling`, `ejected`,
    /// `failing`, `unhealthy`, `draining`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::HalfOpen => "half-open",
            Self::Cooling => "cooling",
            Self::Ejected => "ejected",
            Self::Failing => "failing",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
        }
    }
}

impl fmt::Display for EndpointHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An [`EndpointHealth`], and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HealthState {
    Healthy,
    /// Its ejection has ended: one request may try it.
    HalfOpen,
    /// Its ejection has ended, and a trial request is in flight.
    Tried,
    Cooling(Instant),
    Ejected(Instant),
    /// As ejected, beyond the maximum.
    Failing(Instant),
    /// Its health check fails.
    Unhealthy,
    /// It gets no requests, whatever else is the matter with it.
    Draining,
}

impl HealthState {
    /// Whether the endpoint gets requests only where nothing is healthy, or not even then.
    pub(crate) fn is_out(self) -> bool {
        !matches!(self, Self::Healthy | Self::HalfOpen)
    }

    /// When this will change by itself.
    pub(crate) fn until(self) -> Option<Instant> {
        match self {
            Self::Cooling(until) | Self::Ejected(until) | Self::Failing(until) => Some(until),
            Self::Healthy | Self::HalfOpen | Self::Tried | Self::Unhealthy | Self::Draining => None,
        }
    }
}

impl From<HealthState> for EndpointHealth {
    fn from(state: HealthState) -> Self {
        match state {
            HealthState::Healthy => Self::Healthy,
            HealthState::HalfOpen | HealthState::Tried => Self::HalfOpen,
            HealthState::Cooling(_) => Self::Cooling,
            HealthState::Ejected(_) => Self::Ejected,
            HealthState::Failing(_) => Self::Failing,
            HealthState::Unhealthy => Self::Unhealthy,
            HealthState::Draining => Self::Draining,
        }
    }
}
