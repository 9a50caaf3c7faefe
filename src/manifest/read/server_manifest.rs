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
    /// What its Pods are labelled with: where there is none, it has no Pods.
    pub(crate) labels: Vec<(String, String)>,
    /// Which of them take requests, where prefill and decode are separate.
    pub(crate) decode: Option<DecodeGroup>,
    /// The Service whose endpoints are its own, in place of what it selects.
    pub(crate) service: Option<String>,
    pub(crate) port: Port,
    pub(crate) https: bool,
    /// The headers for its engines, whose values may refer to keys.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) origin: ServerOrigin,
    /// The position of `workloadPort`, or where it is missing.
    pub(crate) port_spot: Spot,
}

/// Where engines listen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Port {
    Missing,
    /// That has been reported, and is not another error for each endpoint.
    Wrong,
    Of(u16),
}

/// The decode Pods of a `pdGroup`.
#[derive(Clone, Debug, Default)]
pub(crate) struct DecodeGroup {
    pub(crate) key: String,
    pub(crate) labels: Vec<(String, String)>,
}

impl DecodeGroup {
    /// As in Kthena's router: they have the key with some value and all of the labels, and without
    /// labels there are none.
    pub(crate) fn has(&self, labels: &[(String, String)]) -> bool {
        let is_in_group = |(name, value): &(String, String)| *name == self.key && !value.is_empty();
        !self.labels.is_empty()
            && self.labels.iter().all(|label| labels.contains(label))
            && labels.iter().any(is_in_group)
    }
}

impl ServerManifest {
    /// Whether it selects Pods with these labels.
    pub(crate) fn selects(&self, labels: &[(String, String)]) -> bool {
        let group = self.decode.as_ref();
        !self.labels.is_empty()
            && self.labels.iter().all(|label| labels.contains(label))
            && group.is_none_or(|group| group.has(labels))
    }

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
