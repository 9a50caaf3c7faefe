//! A ModelServer at run time: its endpoints, and the choice of one of them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::{endpoint::Endpoint, health::HealthState, queue::Queue};
use crate::{
    config::{ModelServer, TrafficPolicy},
    model::NeededKeys,
    pieces::lock,
    server::balance::{affinity::Caller, balancer::Balancer},
};

/// A [`ModelServer`] as the table holds it: resolved, with its live counts.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) name: Arc<str>,
    pub(crate) model: Option<RealModel>,
    pub(crate) endpoints: Box<[Arc<Endpoint>]>,
    pub(crate) policy: TrafficPolicy,
    /// What its engines get in place of the client's fields of these names.
    pub(crate) headers: Box<[(HeaderName, HeaderValue)]>,
    pub(super) balancer: Arc<Balancer>,
    pub(super) live: Arc<Live>,
}

/// The name under which the engines know the model.
#[derive(Clone, Debug)]
pub(crate) struct RealModel {
    pub(crate) name: Arc<str>,
    /// The name as a JSON string with its quotes, as a rewrite splices it in.
    pub(crate) json: Bytes,
}

/// The live state of a ModelServer besides that of its endpoints.
///
/// The lock `ejecting` is taken before that of an endpoint's health record.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) queue: Queue,
    /// Held while the ejected endpoints are counted and one more is ejected, so that
    /// concurrent failures can't exceed the maximum together.
    ejecting: Mutex<()>,
    /// The requests in flight to all endpoints together, counted only if the balance needs it.
    pub(super) in_flight: AtomicUsize,
}

/// Takes the endpoint at this position, which is in this state; `None` if another request was
/// faster.
pub(crate) type Take<T> = fn(&Arc<Server>, usize, HealthState) -> Option<T>;

/// Which endpoints a request may go to: [`Healthy`](Self::Healthy) is tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// The endpoints that are healthy or half-open.
    Healthy,
    /// The endpoint that will be healthy soonest.
    LastResort,
}

impl Server {
    /// `endpoints` with their weights.
    pub(crate) fn new(config: &ModelServer, endpoints: Vec<(Endpoint, u32)>) -> Self {
        let weights: Vec<(&str, u32)> = endpoints
            .iter()
            .map(|(endpoint, weight)| (&**endpoint.uri(), *weight))
            .collect();
        Self {
            balancer: Arc::new(Balancer::new(config.get_balance(), &weights)),
            name: config.get_name().into(),
            model: config.get_model().map(|model| RealModel {
                json: serde_json::Value::from(model).to_string().into(),
                name: model.into(),
            }),
            endpoints: endpoints
                .into_iter()
                .map(|(endpoint, _)| Arc::new(endpoint))
                .collect(),
            policy: config.get_traffic_policy().clone(),
            headers: Box::default(),
            live: Arc::default(),
        }
    }

    /// Moves the live state of `old`, a ModelServer of the same name, to `new`: the
    /// queue, and the endpoints with the same URI.
    pub(crate) fn carry_over(new: &mut Arc<Self>, old: &Self) {
        let endpoints: HashMap<&str, &Arc<Endpoint>> = old
            .endpoints
            .iter()
            .map(|endpoint| (&**endpoint.uri(), endpoint))
            .collect();
        let mut server = Self::clone(new);
        server.live = Arc::clone(&old.live);
        for endpoint in &mut server.endpoints {
            if let Some(old) = endpoints.get(&**endpoint.uri()) {
                *endpoint = Arc::clone(old);
            }
        }
        *new = Arc::new(server);
    }

    /// The name that replaces the `requested` one in a request to its engines;
    /// `None` if the name is sent unchanged, as a LoRA adapter's always is.
    pub(crate) fn rewrite(&self, requested: &str, is_lora: bool) -> Option<&RealModel> {
        let model = self.model.as_ref();
        model.filter(|model| !is_lora && *model.name != *requested)
    }

    pub(crate) fn has_endpoints(&self) -> bool {
        !self.endpoints.is_empty()
    }

    /// Whether [`pick`](Self::pick) would find an endpoint, if no other request is faster.
    pub(crate) fn can_take(&self, pass: Pass) -> bool {
        self.is_open()
            && self
                .endpoints
                .iter()
                .any(|endpoint| self.is_usable(endpoint, pass))
    }

    /// Whether [`pick`](Self::pick) would find an endpoint that is not among the `tried`.
    pub(crate) fn has_untried(&self, pass: Pass, tried: &[Arc<str>]) -> bool {
        self.is_open()
            && self
                .endpoints
                .iter()
                .any(|endpoint| self.is_usable(endpoint, pass) && !tried.contains(endpoint.uri()))
    }

    /// Chooses an endpoint for a request, and returns what `take` makes of it.
    ///
    /// Endpoints that are full or whose URI is among the `tried` are passed
    /// over. `None` while other requests are waiting in the queue.
    pub(crate) fn pick<T>(
        self: &Arc<Self>,
        pass: Pass,
        caller: Caller<'_>,
        tried: &[Arc<str>],
        take: Take<T>,
    ) -> Option<T> {
        if !self.is_open() {
            return None;
        }
        // With at most one endpoint the balancer is not touched: with many
        // ModelServers, the cost is the number of cache lines touched.
        let key = match *self.endpoints {
            [] | [_] => None,
            _ => self.balancer.key(caller),
        };
        self.pick_now(pass, key, tried, take)
    }

    pub(super) fn pick_now<T>(
        self: &Arc<Self>,
        pass: Pass,
        key: Option<u64>,
        tried: &[Arc<str>],
        take: Take<T>,
    ) -> Option<T> {
        let usable = |position: usize| {
            let endpoint: &Endpoint = &self.endpoints[position];
            self.is_usable(endpoint, pass) && !tried.contains(endpoint.uri())
        };
        loop {
            let position = match pass {
                Pass::Healthy if self.endpoints.len() == 1 => usable(0).then_some(0)?,
                Pass::Healthy => {
                    // The total matters only for requests with a key.
                    let total = key.map_or(0, |_| self.live.in_flight.load(Ordering::Relaxed));
                    self.balancer.pick(&self.endpoints, total, key, usable)?
                }
                Pass::LastResort => self.last_resort(usable)?,
            };
            let state = self.endpoints[position].health.state();
            // Another request may have been faster: then choose again among the rest.
            if pass == Pass::Healthy && state.is_out() {
                continue;
            }
            if let Some(taken) = take(self, position, state) {
                return Some(taken);
            }
        }
    }

    /// The usable endpoint that will be healthy soonest.
    pub(super) fn last_resort(&self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let usable = (0..self.endpoints.len()).filter(|&position| usable(position));
        usable.min_by_key(|&position| self.endpoints[position].health.state().rank())
    }

    pub(super) fn is_usable(&self, endpoint: &Endpoint, pass: Pass) -> bool {
        endpoint.has_room(self.policy.get_max_in_flight())
            && (pass == Pass::LastResort || !endpoint.health.state().is_out())
    }

    /// The keys in a request's body that the choice of an endpoint needs.
    pub(crate) fn needed_keys(&self) -> NeededKeys {
        self.balancer.needed_keys()
    }

    /// Whether the queue is empty.
    pub(super) fn is_open(&self) -> bool {
        self.policy.get_max_queue() == 0 || self.live.queue.len() == 0
    }

    pub(crate) fn has_room_to_wait(&self) -> bool {
        self.has_endpoints() && self.live.queue.len() < self.policy.get_max_queue()
    }

    /// Ejects `endpoint`, unless it already is ejected or too many others are;
    /// returns for how long.
    pub(super) fn eject(&self, endpoint: &Endpoint) -> Option<Duration> {
        let detection = self.policy.get_outlier_detection();
        let _ejecting = lock(&self.live.ejecting);
        if endpoint.health.is_ejected() {
            return None;
        }
        let all = self.endpoints.iter();
        let ejected = all.filter(|endpoint| endpoint.health.is_ejected()).count() + 1;
        let allowed = self.endpoints.len() * detection.get_max_ejection_percent() as usize / 100;
        (ejected <= allowed).then(|| endpoint.health.eject(detection))
    }
}
