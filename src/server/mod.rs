//! ModelServers: groups of engine endpoints, and the choice of one of them.

#[allow(dead_code, reason = "bodies and latencies are not yet given to it")]
mod balance;
mod endpoint;
mod model_server;
mod outlier;
mod snapshot;
mod traffic_policy;

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;

pub use self::{
    balance::{Balance, HashKey},
    model_server::ModelServer,
    outlier::OutlierDetection,
    snapshot::{EndpointSnapshot, ServerSnapshot},
    traffic_policy::TrafficPolicy,
};
pub(crate) use self::{
    balance::{Balancer, BodyKeys, Ewma},
    endpoint::{Endpoint, InvalidEndpoint, Lease},
};

/// A [`ModelServer`] as the table holds it: resolved, with its live counts.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: Arc<str>,
    pub(crate) model: Option<RealModel>,
    pub(crate) endpoints: Box<[Arc<Endpoint>]>,
    balancer: Balancer,
}

/// The name under which the engines know the model.
#[derive(Debug)]
pub(crate) struct RealModel {
    pub(crate) name: Arc<str>,
    /// The name as a JSON string with its quotes: what a rewrite splices in.
    pub(crate) json: Bytes,
}

impl Server {
    /// `endpoints` with their weights.
    pub(crate) fn new(
        name: &str,
        model: Option<&str>,
        endpoints: Vec<(Endpoint, u32)>,
        balance: &Balance,
    ) -> Self {
        let weights: Vec<(&str, u32)> = endpoints
            .iter()
            .map(|(endpoint, weight)| (&*endpoint.uri, *weight))
            .collect();
        let balancer = Balancer::new(balance, &weights);
        let endpoints = endpoints
            .into_iter()
            .map(|(endpoint, _)| endpoint.counted_by(balancer.in_flight()))
            .map(Arc::new)
            .collect();
        Self {
            name: name.into(),
            model: model.map(|model| RealModel {
                name: model.into(),
                json: serde_json::Value::from(model).to_string().into(),
            }),
            endpoints,
            balancer,
        }
    }

    /// Whether a request can be sent to it at all.
    pub(crate) fn is_usable(&self) -> bool {
        !self.endpoints.is_empty()
    }

    /// The position of the endpoint for the next request.
    pub(crate) fn pick(&self, head: &Parts, body: &BodyKeys) -> Option<usize> {
        let key = self.balancer.key(head, body);
        self.balancer.pick(&self.endpoints, key, |_| true)
    }
}
