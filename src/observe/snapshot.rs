//! The live state of the ModelServers, for people and monitoring.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    route::RouteTable,
    server::{Endpoint, EndpointHealth, ReportedLoad, ServedNames, Server},
};

/// A ModelServer at one moment, from [`RouteTable::servers`](crate::RouteTable::servers).
#[derive(Clone, Debug)]
pub struct ServerSnapshot {
    name: Arc<str>,
    endpoints: Vec<EndpointSnapshot>,
    queued: usize,
}

/// An endpoint at one moment.
#[derive(Clone, Debug)]
pub struct EndpointSnapshot {
    uri: Arc<str>,
    name: Option<Arc<str>>,
    in_flight: usize,
    health: EndpointHealth,
    consecutive_failures: u32,
    ejected_until: Option<Instant>,
    requests: u64,
    failures: u64,
    ejections: u64,
    served: Option<Arc<ServedNames>>,
    reported: Vec<ReportedLoad>,
}

impl RouteTable {
    /// The ModelServers as they are now, in the order in which they were added.
    pub fn servers(&self) -> Vec<ServerSnapshot> {
        self.compiled()
            .servers
            .iter()
            .map(|s| ServerSnapshot::new(s))
            .collect()
    }
}

impl ServerSnapshot {
    pub(crate) fn new(server: &Server) -> Self {
        Self {
            name: Arc::clone(&server.name),
            endpoints: server
                .endpoints
                .iter()
                .map(|endpoint| EndpointSnapshot::new(endpoint))
                .collect(),
            queued: server.queued(),
        }
    }

    /// The ModelServer's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its endpoints, in the order in which they were added.
    pub fn endpoints(&self) -> &[EndpointSnapshot] {
        &self.endpoints
    }

    /// The requests that wait for an endpoint with room.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// The requests in flight to all of its endpoints.
    pub fn in_flight(&self) -> usize {
        self.endpoints.iter().map(EndpointSnapshot::in_flight).sum()
    }
}

impl EndpointSnapshot {
    fn new(endpoint: &Endpoint) -> Self {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Self {
            uri: Arc::clone(endpoint.uri()),
            name: endpoint.shared_name(),
            in_flight: endpoint.in_flight(),
            health: endpoint.health.state().into(),
            consecutive_failures: endpoint.health.failures_in_a_row(),
            ejected_until: endpoint
                .health
                .ejected_until()
                .map(|until| until.into_std()),
            requests: count(&endpoint.counts.requests),
            failures: count(&endpoint.counts.failures),
            ejections: count(&endpoint.counts.ejections),
            served: endpoint.adapters.known(),
            reported: endpoint.reported(),
        }
    }

    /// Its normalized URI: scheme, authority without a default port, path prefix.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Its [name](crate::Endpoint::name) for people, such as that of its Pod, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The requests sent to it whose response body has not ended yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether it gets requests.
    pub fn health(&self) -> EndpointHealth {
        self.health
    }

    /// Its failures since it last answered.
    pub fn consecutive_failures(&self) -> u32 {
        self.consecutive_failures
    }

    /// When its ejection ends; in the past once it may be tried again.
    pub fn ejected_until(&self) -> Option<Instant> {
        self.ejected_until
    }

    /// For how long it is still ejected; zero once it may be tried again.
    pub(super) fn ejected_for(&self) -> Option<Duration> {
        let now = tokio::time::Instant::now().into_std();
        let until = self.ejected_until?;
        Some(until.saturating_duration_since(now))
    }

    /// Whether it has this model or adapter, by the engines' name for it, if that is known: from
    /// its list ([`ServedModels`](crate::ServedModels)), from loading
    /// ([`LoraAdapters`](crate::LoraAdapters)), or from its answers.
    pub fn has_model(&self, name: &str) -> Option<bool> {
        self.served.as_deref()?.has_now(name)
    }

    /// How much longer it gets no requests for this model as long as others may have it, because
    /// it answered that it does not have it
    /// ([`retry_unknown_model`](crate::TrafficPolicy::retry_unknown_model)).
    pub fn passed_over_for(&self, name: &str) -> Option<Duration> {
        self.served.as_deref()?.marked_for(name)
    }

    /// The number of requests sent to it, retries included.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// The number of those that failed, as [`OutlierDetection`](crate::OutlierDetection) counts it.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// The number of its ejections.
    pub fn ejections(&self) -> u64 {
        self.ejections
    }

    /// The last report of its load from each source: its answers, its metrics, the program.
    pub fn reported(&self) -> &[ReportedLoad] {
        &self.reported
    }
}
