//! ModelServers: groups of engine endpoints, and the choice of one of them.

mod balance;
mod endpoint;
mod health;
mod lease;
mod model_server;
mod outlier;
mod queue;
mod snapshot;
mod traffic_policy;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;

pub(crate) use self::{
    balance::Balancer,
    endpoint::{Endpoint, InvalidEndpoint},
    lease::{Lease, Outcome},
};
pub use self::{
    balance::{Balance, HashKey},
    model_server::ModelServer,
    outlier::OutlierDetection,
    snapshot::{EndpointHealth, EndpointSnapshot, ServerSnapshot},
    traffic_policy::TrafficPolicy,
};
use self::{health::Standing, queue::Queue};

/// A [`ModelServer`] as the table holds it: resolved, with its live counts.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: Arc<str>,
    pub(crate) model: Option<RealModel>,
    pub(crate) endpoints: Box<[Arc<Endpoint>]>,
    pub(crate) policy: TrafficPolicy,
    balancer: Balancer,
    live: Arc<Live>,
}

/// The name under which the engines know the model.
#[derive(Debug)]
pub(crate) struct RealModel {
    pub(crate) name: Arc<str>,
    /// The name as a JSON string with its quotes: what a rewrite splices in.
    pub(crate) json: Bytes,
}

/// What a ModelServer has beside its endpoints' own states.
#[derive(Debug, Default)]
struct Live {
    queue: Queue,
    /// Held while the ejected are counted and one more is ejected.
    ejecting: Mutex<()>,
}

/// Which endpoints come into question for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Those in good standing.
    Sound,
    /// Where there are none of these, the one that will soonest be.
    LeastBad,
}

impl Server {
    pub(crate) fn new(config: ModelServer, endpoints: Vec<Endpoint>) -> Self {
        Self {
            name: config.name.into(),
            model: config.model.map(|model| RealModel {
                json: serde_json::Value::from(&*model).to_string().into(),
                name: model.into(),
            }),
            endpoints: endpoints.into_iter().map(Arc::new).collect(),
            policy: config.policy,
            balancer: Balancer::default(),
            live: Arc::default(),
        }
    }

    pub(crate) fn has_endpoints(&self) -> bool {
        !self.endpoints.is_empty()
    }

    /// Whether [`lease`](Self::lease) would find an endpoint, if nobody else is faster.
    pub(crate) fn can_take(&self, choice: Choice) -> bool {
        self.is_open()
            && self
                .endpoints
                .iter()
                .any(|endpoint| self.is_usable(endpoint, choice))
    }

    /// An endpoint for a request, which counts as in flight to it from now on.
    ///
    /// Not one that is full or, by its URI, among the `tried`; and none at all
    /// while others wait for one.
    pub(crate) fn lease(self: &Arc<Self>, choice: Choice, tried: &[Arc<str>]) -> Option<Lease> {
        self.is_open().then(|| self.lease_now(choice, tried))?
    }

    fn lease_now(self: &Arc<Self>, choice: Choice, tried: &[Arc<str>]) -> Option<Lease> {
        let usable = |position: usize| {
            let endpoint: &Endpoint = &self.endpoints[position];
            self.is_usable(endpoint, choice) && !tried.contains(&endpoint.uri)
        };
        loop {
            let position = match choice {
                Choice::Sound => self.balancer.pick(&self.endpoints, usable)?,
                Choice::LeastBad => (0..self.endpoints.len())
                    .filter(|&position| usable(position))
                    .min_by_key(|&position| self.endpoints[position].health.standing())?,
            };
            let standing = self.endpoints[position].health.standing();
            // Another request may have been faster: then it is one fewer to choose from.
            if let Some(lease) = Lease::new(self, position, standing == Standing::OnTrial) {
                return Some(lease);
            }
        }
    }

    fn is_usable(&self, endpoint: &Endpoint, choice: Choice) -> bool {
        endpoint.has_room(self.policy.max_in_flight)
            && (choice == Choice::LeastBad || !endpoint.health.is_out())
    }

    /// Whether nobody waits who would have to be served first.
    fn is_open(&self) -> bool {
        self.policy.max_queue == 0 || self.live.queue.len() == 0
    }

    pub(crate) fn has_room_to_wait(&self) -> bool {
        self.has_endpoints() && self.live.queue.len() < self.policy.max_queue
    }

    /// Waits in the queue for an endpoint that is free; `None` where that takes
    /// too long, or the queue is full.
    pub(crate) async fn wait(self: Arc<Self>) -> Option<Lease> {
        let place = self.live.queue.join(self.policy.max_queue)?;
        let lease = place.wait(|| {
            self.lease_now(Choice::Sound, &[])
                .or_else(|| self.lease_now(Choice::LeastBad, &[]))
        });
        let waited = tokio::time::timeout(self.policy.queue_timeout, lease).await;
        waited.ok().flatten()
    }

    /// Ejects an endpoint, unless it is already, or too many others are; for how long.
    fn eject(&self, endpoint: &Endpoint) -> Option<Duration> {
        let detection = &self.policy.outlier_detection;
        let ejecting = self.live.ejecting.lock();
        let _ejecting = ejecting.unwrap_or_else(PoisonError::into_inner);
        if endpoint.health.is_ejected() {
            return None;
        }
        let all = self.endpoints.iter();
        let ejected = all.filter(|endpoint| endpoint.health.is_ejected()).count() + 1;
        let allowed = self.endpoints.len() * detection.max_ejection_percent as usize / 100;
        (ejected <= allowed).then(|| endpoint.health.eject(detection))
    }
}
