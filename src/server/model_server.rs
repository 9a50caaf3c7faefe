//! A ModelServer at run time: its endpoints, and the choice of one of them.

use std::{
    cell::LazyCell,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use hashbrown::HashMap;
use http::{HeaderName, HeaderValue};
use tokio::time::Instant;
use tracing::warn;

use super::{
    ask::Ask,
    endpoint::Endpoint,
    health::{HealthState, Verdict},
    key::Caller,
    queue::Queue,
    sessions::{Choice, Sessions, Sticky},
    wanted::{Sought, Wanted},
    zones::Zones,
};
use crate::{
    config::{Encoding, EngineKind, ModelServer, TrafficPolicy},
    limit::Estimates,
    model::NeededKeys,
    pieces::{interned, lock},
    server::balance::{balancer::Balancer, scene::Scene},
};

/// A [`ModelServer`] as the table holds it: resolved, with its live counts.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) name: Arc<str>,
    pub(crate) model: Option<RealModel>,
    pub(crate) endpoints: Box<[Arc<Endpoint>]>,
    /// Which of them come first, where some do.
    pub(crate) zones: Option<Box<Zones>>,
    /// For each endpoint its position in the configuration, if that is not its own.
    of_config: Box<[u32]>,
    pub(crate) policy: TrafficPolicy,
    /// What its engines get in place of the client's fields of these names.
    pub(crate) headers: Box<[(HeaderName, HeaderValue)]>,
    /// The codings of request bodies that the engines read.
    pub(crate) accepts_encodings: Box<[Encoding]>,
    /// Whether it is configured to use what engines report, and its balance does.
    pub(crate) uses_reports: bool,
    pub(super) balancer: Arc<Balancer>,
    /// How sessions are bound to its endpoints, if they are.
    pub(super) sticky: Option<Arc<Sticky>>,
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
    pub(super) queue: Arc<Queue>,
    /// The ModelServer in the current table, once a table was replaced.
    current: Mutex<Weak<Server>>,
    /// Held while the ejected endpoints are counted and one more is ejected, so that
    /// concurrent failures can't exceed the maximum together.
    ejecting: Mutex<()>,
    /// The requests in flight to all endpoints together, counted only if the balance needs it.
    pub(super) in_flight: AtomicUsize,
    /// Whether anything is known about the models that its endpoints have.
    pub(super) knows_models: Arc<AtomicBool>,
    /// The endpoint of each session.
    pub(super) sessions: Arc<Sessions>,
    /// What its answers say of the tokens of requests.
    pub(super) estimates: Estimates,
    /// Whether it was said that layers are missing that its policy needs.
    has_warned: AtomicBool,
}

/// Takes the endpoint at this position, which is in this state; `None` if another request was
/// faster.
pub(crate) trait Take<T>:
    Fn(&Arc<Server>, usize, HealthState, &Ask) -> Option<T> + Copy
{
}

impl<T, F: Fn(&Arc<Server>, usize, HealthState, &Ask) -> Option<T> + Copy> Take<T> for F {}

/// Which endpoints a request may go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// The endpoints that are healthy: a retry is not used as a trial.
    Proven,
    /// The endpoints that are healthy or half-open.
    Healthy,
    /// The endpoint that is the most likely to answer although it is out: only where nothing
    /// is healthy.
    LastResort,
}

impl Pass {
    fn allows(self, state: HealthState) -> bool {
        match self {
            Self::Proven => state == HealthState::Healthy,
            Self::Healthy => !state.is_out(),
            Self::LastResort => state != HealthState::Draining,
        }
    }
}

/// The endpoints among which one is picked.
#[derive(Clone, Copy)]
pub(crate) struct Among<'a> {
    pub(crate) pass: Pass,
    /// The model, where only those will do that may have it.
    pub(crate) wanted: Option<Wanted<'a>>,
    /// The URIs of those that will not do.
    pub(crate) tried: &'a [Arc<str>],
}

impl Among<'_> {
    /// All that this pass allows.
    pub(crate) fn all(pass: Pass) -> Self {
        Self {
            pass,
            wanted: None,
            tried: &[],
        }
    }
}

/// The position of each of the `old` endpoints among the `new`.
fn positions(old: &[Arc<Endpoint>], new: &[Arc<Endpoint>]) -> Vec<Option<usize>> {
    let all = new.iter().enumerate();
    let all: HashMap<&str, (usize, &Endpoint)> = all
        .map(|(at, endpoint)| (&**endpoint.uri(), (at, &**endpoint)))
        .collect();
    let position = |old: &Arc<Endpoint>| {
        let (at, new) = all.get(&**old.uri())?;
        new.may_be(old).then_some(*at)
    };
    old.iter().map(position).collect()
}

impl Server {
    /// Says once that a layer is missing which `option` of the policy needs.
    pub(crate) fn warn_unenforced(&self, option: &str, layer: &str) {
        if !self.live.has_warned.swap(true, Ordering::Relaxed) {
            warn!(
                target: "tower_model_route::config",
                server = &*self.name,
                "`{option}` has no effect without {layer} below the ModelRouteLayer",
            );
        }
    }

    /// `endpoints` with their weights.
    pub(crate) fn new(config: &ModelServer, endpoints: Vec<(Arc<Endpoint>, u32)>) -> Self {
        let weights: Vec<(&str, u32)> = endpoints
            .iter()
            .map(|(endpoint, weight)| (&**endpoint.uri(), *weight))
            .collect();
        let sticky = config.get_traffic_policy().get_session_sticky();
        let sticky = sticky
            .map(|sticky| Sticky::new(sticky, config.get_name(), &weights))
            .map(Arc::new);
        let live = Arc::<Live>::default();
        for (endpoint, _) in &endpoints {
            endpoint.wakes(&live.queue);
            endpoint.adapters.tell(&live.knows_models);
        }
        Self {
            balancer: Arc::new(Balancer::new(config.get_balance(), &weights)),
            name: config.get_name().into(),
            model: config.get_model().map(|model| RealModel {
                json: interned(&serde_json::Value::from(model).to_string()),
                name: model.into(),
            }),
            endpoints: endpoints
                .into_iter()
                .map(|(endpoint, _)| endpoint)
                .collect(),
            zones: None,
            of_config: Box::default(),
            sticky,
            policy: config.get_traffic_policy().clone(),
            headers: Box::default(),
            accepts_encodings: config.get_accepts_encodings().into(),
            uses_reports: config.get_load_reports()
                && config.get_engine().is_none_or(EngineKind::reports_load)
                && config.get_balance().compares_load(),
            live,
        }
    }

    /// With several endpoints for one of the configuration, each of which has there this position.
    pub(crate) fn with_positions(mut self, of_config: Vec<u32>) -> Self {
        let is_own = |(own, position): (u32, &u32)| own == *position;
        self.of_config = match (0..).zip(&of_config).all(is_own) {
            true => Box::default(),
            false => of_config.into(),
        };
        self
    }

    /// The position in the configuration of the endpoint at this one.
    pub(crate) fn of_config(&self, position: usize) -> usize {
        let of_config = self.of_config.get(position);
        of_config.map_or(position, |&of_config| of_config as usize)
    }

    /// Takes over the live state of the table that is replaced: that of `old`, the
    /// ModelServer of the same name, and the `endpoints` with the same URI, unless that is another
    /// process by its name. The position
    /// among the endpoints stays where they and their weights are the same. An endpoint beside
    /// which others were there before is new, unless it was there by its name.
    pub(crate) fn carry_over(
        new: &mut Arc<Self>,
        old: Option<&Arc<Self>>,
        endpoints: &HashMap<&str, &Arc<Endpoint>>,
        is_balanced_alike: bool,
    ) {
        let mut server = Self::clone(new);
        if let Some(old) = old {
            server.live = Arc::clone(&old.live);
            if is_balanced_alike {
                server.balancer = Arc::clone(&old.balancer);
            } else {
                let positions = || positions(&old.endpoints, &server.endpoints);
                server.balancer.inherit(&old.balancer, positions);
            }
        }
        for endpoint in &mut server.endpoints {
            let known = endpoints.get(&**endpoint.uri());
            if let Some(known) = known.filter(|known| known.may_be(endpoint)) {
                if let Some(name) = endpoint.name() {
                    known.is_called(name);
                }
                *endpoint = Arc::clone(known);
            } else if old.is_some_and(|old| old.has_endpoints() && !old.has_name_of(endpoint)) {
                endpoint.health.is_new();
            }
        }
        *new = Arc::new(server);
        for endpoint in &new.endpoints {
            endpoint.wakes(&new.live.queue);
            endpoint.adapters.tell(&new.live.knows_models);
        }
        *lock(&new.live.current) = Arc::downgrade(new);
    }

    /// Whether these are the endpoints of `other` too, in the same order.
    pub(crate) fn has_the_endpoints_of(&self, other: &Self) -> bool {
        let uris = self.endpoints.iter().map(|endpoint| endpoint.uri());
        uris.eq(other.endpoints.iter().map(|endpoint| endpoint.uri()))
    }

    /// Whether the name of which this is one of the addresses was an endpoint by itself.
    fn has_name_of(&self, endpoint: &Endpoint) -> bool {
        let (name, _) = endpoint.uri().split_once('#').unwrap_or_default();
        let mut endpoints = self.endpoints.iter();
        endpoints.any(|known| **known.uri() == *name)
    }

    /// How many requests wait for an endpoint with room.
    pub(crate) fn queued(&self) -> usize {
        self.live.queue.all()
    }

    /// Lets the requests that wait look again: their ModelServer has changed.
    pub(crate) fn changed(&self) {
        self.live.queue.freed();
    }

    /// This ModelServer as it is in the current table; itself if it is there no more.
    pub(crate) fn current(self: &Arc<Self>) -> Arc<Self> {
        let current = lock(&self.live.current).upgrade();
        current.unwrap_or_else(|| Arc::clone(self))
    }

    /// What its answers say of the tokens of requests.
    pub(crate) fn estimates(&self) -> &Estimates {
        &self.live.estimates
    }

    /// The name that replaces the `requested` one in a request to its engines;
    /// `None` if the name is sent unchanged, as a LoRA adapter's always is.
    pub(crate) fn rewrite(&self, requested: &str, is_lora: bool) -> Option<&RealModel> {
        self.real_model(is_lora)
            .filter(|model| *model.name != *requested)
    }

    /// The engines' own name of the model; that of an adapter is its own.
    pub(crate) fn real_model(&self, is_lora: bool) -> Option<&RealModel> {
        self.model.as_ref().filter(|_| !is_lora)
    }

    pub(crate) fn has_endpoints(&self) -> bool {
        !self.endpoints.is_empty()
    }

    /// Whether [`pick`](Self::pick) would find an endpoint, if no other request is faster.
    pub(crate) fn can_take(&self, pass: Pass, wanted: Option<Wanted<'_>>) -> bool {
        let sought = self.sought(wanted);
        self.is_open()
            && self
                .endpoints
                .iter()
                .any(|endpoint| self.is_usable(endpoint, pass) && Self::may_have(endpoint, sought))
    }

    /// Whether there is an endpoint that is not taken out of service.
    pub(crate) fn is_in_service(&self) -> bool {
        let mut endpoints = self.endpoints.iter();
        endpoints.any(|endpoint| !endpoint.health.is_draining())
    }

    /// Whether an endpoint that is not among the `tried`, and may have the model, is healthy, full
    /// or not.
    pub(crate) fn has_healthy(&self, tried: &[Arc<str>], wanted: Option<Wanted<'_>>) -> bool {
        let sought = self.sought(wanted);
        self.endpoints.iter().any(|endpoint| {
            !endpoint.health.state().is_out()
                && !tried.contains(endpoint.uri())
                && Self::may_have(endpoint, sought)
        })
    }

    /// Whether there is an endpoint in service that is not among the `tried`.
    pub(crate) fn has_untried(&self, tried: &[Arc<str>]) -> bool {
        let mut endpoints = self.endpoints.iter();
        endpoints.any(|endpoint| !endpoint.health.is_draining() && !tried.contains(endpoint.uri()))
    }

    /// Chooses an endpoint for a request, and returns what `take` makes of it.
    ///
    /// Endpoints that are full are passed over. `None` while other requests are waiting in the queue.
    pub(crate) fn pick<T>(
        self: &Arc<Self>,
        among: Among<'_>,
        caller: &Caller<'_>,
        take: impl Take<T>,
    ) -> Option<T> {
        if !self.is_open() {
            return None;
        }
        match self.asks_nothing() {
            true => self.pick_now(among, Ask::nothing(), take),
            false => self.pick_now(among, &self.ask(caller), take),
        }
    }

    pub(super) fn pick_now<T>(
        self: &Arc<Self>,
        Among {
            pass,
            wanted,
            tried,
        }: Among<'_>,
        ask: &Ask,
        take: impl Take<T>,
    ) -> Option<T> {
        let sought = self.sought(wanted);
        let usable = |position: usize| {
            let endpoint: &Endpoint = &self.endpoints[position];
            self.is_usable(endpoint, pass)
                && !tried.contains(endpoint.uri())
                && Self::may_have(endpoint, sought)
        };
        let is_plain =
            pass != Pass::LastResort && sought.is_none() && tried.is_empty() && self.is_plain();
        loop {
            let (position, session) = match is_plain {
                true => (self.least_loaded(usable)?, None),
                false => self.chosen((pass, sought), ask, !tried.is_empty(), &usable)?,
            };
            let state = self.endpoints[position].health.state();
            // Another request may have been faster: then choose again among the rest.
            if !pass.allows(state) {
                continue;
            }
            if let Some(taken) = take(self, position, state, ask) {
                session.into_iter().for_each(|choice| self.has_gone(choice));
                return Some(taken);
            }
        }
    }

    /// Whether nothing but the requests in flight to each endpoint counts, the usual case:
    /// preparing for everything else takes 150 of the 700 instructions of a decision.
    fn is_plain(&self) -> bool {
        let is_single = || self.endpoints.len() <= 1;
        let is_even = || self.zones.is_none() && self.policy.get_slow_start().is_zero();
        self.sticky.is_none() && (is_single() || is_even() && self.balancer.goes_by_requests())
    }

    /// The usable endpoint with the least requests in flight for its weight.
    fn least_loaded(&self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        match *self.endpoints {
            [_] => usable(0).then_some(0),
            _ => self.balancer.least_loaded(&self.endpoints, usable),
        }
    }

    /// The usable endpoint for a request, and what that makes of its session.
    fn chosen(
        &self,
        (pass, sought): (Pass, Option<Sought<'_>>),
        ask: &Ask,
        is_sent_again: bool,
        usable: &dyn Fn(usize) -> bool,
    ) -> Option<(usize, Option<Choice>)> {
        if pass == Pass::LastResort {
            return Some((self.last_resort(usable)?, None));
        }
        if let Some(choice) = self.for_session(ask.session, usable) {
            return Some((choice.position, Some(choice)));
        }
        if self.endpoints.len() == 1 {
            return usable(0).then_some((0, None));
        }
        let chosen = self.at_scene(is_sent_again, |scene| self.balanced_at(scene, ask, usable))?;
        let position = match sought {
            // A key has its home.
            Some(sought) if ask.key.is_none() => self.better_suited(chosen, sought, usable),
            _ => chosen,
        };
        Some((position, None))
    }

    /// Where an endpoint is chosen.
    pub(super) fn at_scene<T>(&self, is_sent_again: bool, then: impl FnOnce(&Scene<'_>) -> T) -> T {
        then(&Scene {
            endpoints: &self.endpoints,
            total: &|| self.in_flight(),
            slow_start: self.policy.get_slow_start(),
            typical: &|| self.estimates().typical_input(),
            is_sent_again,
        })
    }

    fn balanced_at(
        &self,
        scene: &Scene<'_>,
        ask: &Ask,
        usable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let pick = |own: Option<&Zones>| {
            let usable =
                |position| own.is_none_or(|zones| zones.is_own(position)) && usable(position);
            self.balancer.pick(scene, ask, usable)
        };
        let own = self.own_zone(&usable);
        pick(own).or_else(|| own.and_then(|_| pick(None)))
    }

    /// The usable endpoint that is the most likely to answer although it is out.
    pub(super) fn last_resort(&self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let usable = (0..self.endpoints.len()).filter(|&position| usable(position));
        usable.min_by_key(|&position| self.endpoints[position].health.resort())
    }

    /// The requests in flight to all endpoints together, those that others have sent included.
    fn in_flight(&self) -> usize {
        let now = LazyCell::new(Instant::now);
        let endpoints = self.endpoints.iter();
        let foreign: usize = endpoints.map(|endpoint| endpoint.foreign(|| *now)).sum();
        foreign + self.own_in_flight()
    }

    fn own_in_flight(&self) -> usize {
        match self.endpoints.iter().any(|endpoint| endpoint.is_shared()) {
            // The counter has only its own.
            true => self
                .endpoints
                .iter()
                .map(|endpoint| endpoint.in_flight())
                .sum(),
            false => self.live.in_flight.load(Ordering::Relaxed),
        }
    }

    /// What an endpoint must be in to be chosen, if the gateway's own zone comes first for now.
    pub(super) fn own_zone(&self, usable: impl Fn(usize) -> bool) -> Option<&Zones> {
        let zones = self.zones.as_deref()?;
        zones.own_first(&self.endpoints, usable)
    }

    pub(super) fn is_usable(&self, endpoint: &Endpoint, pass: Pass) -> bool {
        endpoint.has_room(self.policy.get_max_in_flight()) && pass.allows(endpoint.health.state())
    }

    /// The keys in a request's body that are needed to serve it.
    pub(crate) fn needed_keys(&self) -> NeededKeys {
        NeededKeys {
            stream: self.policy.get_sse_keepalive().is_some() || self.policy.get_force_usage(),
            ..self.balancer.needed_keys()
        }
        .and(
            self.sticky
                .as_ref()
                .map_or_else(NeededKeys::default, |sticky| sticky.needed_keys()),
        )
    }

    /// Whether the queue is empty.
    pub(crate) fn is_open(&self) -> bool {
        self.policy.get_max_queue() == 0 || self.live.queue.len() == 0
    }

    pub(crate) fn has_room_to_wait(&self) -> bool {
        self.is_in_service() && self.live.queue.has_room(self.policy.get_max_queue())
    }

    /// Ejects `endpoint`, which has failed too often, or has failed its trial; returns
    /// for how long, unless it already is ejected or never is.
    ///
    /// Beyond the maximum of ejected endpoints it is out all the same, for a second at a
    /// time: a failing endpoint never takes the place of a healthy one.
    pub(super) fn eject(
        &self,
        endpoint: &Endpoint,
        on_trial: bool,
        refused: bool,
    ) -> Option<Duration> {
        let detection = self.policy.get_outlier_detection();
        let _ejecting = lock(&self.live.ejecting);
        if detection.is_off() || (endpoint.health.is_out_for_failures() && !on_trial) {
            return None;
        }
        let others = self
            .endpoints
            .iter()
            .filter(|other| !std::ptr::eq(&***other, endpoint) && other.health.is_ejected());
        let allowed = self.endpoints.len() * detection.get_max_ejection_percent() as usize / 100;
        Some(endpoint.health.eject(Verdict {
            detection,
            within_limit: others.count() < allowed,
            refused,
        }))
    }

    /// After an endpoint whose failures began at `since` has come back: if nothing else
    /// is healthy, the outage is over, and those that it has put out come back as well.
    /// Returns them.
    pub(super) fn outage_is_over(&self, endpoint: &Endpoint, since: Instant) -> Vec<&Endpoint> {
        let others = || {
            let all = self.endpoints.iter().map(|other| &**other);
            all.filter(|other| !std::ptr::eq(*other, endpoint))
        };
        if others().any(|other| !other.health.state().is_out()) {
            return Vec::new();
        }
        others()
            .filter(|other| other.health.come_back(since))
            .collect()
    }
}
