//! ModelServers: groups of engine endpoints, and the choice of one of them.

mod balance;
mod endpoint;
mod model_server;
mod outlier;
mod snapshot;
mod traffic_policy;

use std::sync::Arc;

use bytes::Bytes;

pub(crate) use self::{
    balance::LeastLoaded,
    endpoint::{Endpoint, InvalidEndpoint, Lease},
};
pub use self::{
    balance::{Balance, HashKey},
    model_server::ModelServer,
    outlier::OutlierDetection,
    snapshot::{EndpointSnapshot, ServerSnapshot},
    traffic_policy::TrafficPolicy,
};

/// A [`ModelServer`] as the table holds it: resolved, with its live counts.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: Arc<str>,
    pub(crate) model: Option<RealModel>,
    pub(crate) endpoints: Box<[Arc<Endpoint>]>,
    balance: LeastLoaded,
}

/// The name under which the engines know the model.
#[derive(Debug)]
pub(crate) struct RealModel {
    pub(crate) name: Arc<str>,
    /// The name as a JSON string with its quotes: what a rewrite splices in.
    pub(crate) json: Bytes,
}

impl Server {
    pub(crate) fn new(name: &str, model: Option<&str>, endpoints: Vec<Endpoint>) -> Self {
        Self {
            name: name.into(),
            model: model.map(|model| RealModel {
                name: model.into(),
                json: serde_json::Value::from(model).to_string().into(),
            }),
            endpoints: endpoints.into_iter().map(Arc::new).collect(),
            balance: LeastLoaded::default(),
        }
    }

    /// Whether a request can be sent to it at all.
    pub(crate) fn is_usable(&self) -> bool {
        !self.endpoints.is_empty()
    }

    /// The position of the endpoint for the next request.
    pub(crate) fn pick(&self) -> Option<usize> {
        self.balance.pick(&self.endpoints)
    }
}
