//! A ModelServer while it is read.

use std::net::Ipv6Addr;

use crate::{
    config::{Endpoint, ModelServer, TrafficPolicy},
    manifest::{origin::ServerOrigin, place::Spot},
};

/// A ModelServer as it is read, without the endpoints that others give it.
#[derive(Clone, Debug)]
pub(crate) struct ServerManifest {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) server: ModelServer,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) port: Option<u16>,
    pub(crate) https: bool,
    /// The headers for its engines, whose values may refer to keys.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) origin: ServerOrigin,
    /// The position of `workloadPort`, or where it is missing.
    pub(crate) port_spot: Spot,
}

impl ServerManifest {
    pub(crate) fn uri(&self, address: &str, port: u64) -> String {
        let scheme = if self.https { "https" } else { "http" };
        match address.parse::<Ipv6Addr>() {
            Ok(address) => format!("{scheme}://[{address}]:{port}"),
            Err(_) => format!("{scheme}://{address}:{port}"),
        }
    }

    /// Applies a builder's method to the server.
    pub(crate) fn change(&mut self, change: impl FnOnce(ModelServer) -> ModelServer) {
        let server = std::mem::replace(&mut self.server, ModelServer::new(""));
        self.server = change(server);
    }

    /// Applies a builder's method to the traffic policy.
    pub(crate) fn change_policy(&mut self, change: impl FnOnce(TrafficPolicy) -> TrafficPolicy) {
        let policy = change(self.server.get_traffic_policy().clone());
        self.change(|server| server.traffic_policy(policy));
    }

    pub(crate) fn add_endpoint(&mut self, endpoint: Endpoint, spot: Option<Spot>) {
        self.change(|server| server.endpoint(endpoint));
        self.origin.endpoints.push(spot);
    }
}
