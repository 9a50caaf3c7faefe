//! The live state of the ModelServers, for people and monitoring.

use std::sync::Arc;

use super::Server;

/// A ModelServer at one moment, from [`RouteTable::servers`](crate::RouteTable::servers).
#[derive(Clone, Debug)]
pub struct ServerSnapshot {
    name: Arc<str>,
    endpoints: Vec<EndpointSnapshot>,
}

/// An endpoint at one moment.
#[derive(Clone, Debug)]
pub struct EndpointSnapshot {
    uri: Arc<str>,
    in_flight: usize,
}

impl ServerSnapshot {
    pub(crate) fn new(server: &Server) -> Self {
        Self {
            name: Arc::clone(&server.name),
            endpoints: server
                .endpoints
                .iter()
                .map(|endpoint| EndpointSnapshot {
                    uri: Arc::clone(&endpoint.uri),
                    in_flight: endpoint.in_flight(),
                })
                .collect(),
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

    /// The requests in flight to all of its endpoints.
    pub fn in_flight(&self) -> usize {
        self.endpoints.iter().map(EndpointSnapshot::in_flight).sum()
    }
}

impl EndpointSnapshot {
    /// Its normalised URI: scheme, authority without a default port, path prefix.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The requests sent to it whose response body has not ended yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }
}
