//! From a configuration to a table: every name resolved, every mistake found.

use std::{collections::HashSet, sync::Arc};

use hashbrown::HashMap;
use http::{HeaderName, HeaderValue};
use tower::retry::budget::TpsBudget;

use super::{
    models::Listed,
    names::index,
    routes::CompiledRoutes,
    split::Schedules,
    table::{CompiledTable, RouteTable},
};
use crate::{
    config::{
        self, Address, BuildError, EngineState, Mistake, MistakeKind, ModelServer, Place,
        RouteTableBuilder, ServerPart,
    },
    model::NeededKeys,
    server::{Endpoint, Homes, Server, Zones},
};

impl RouteTableBuilder {
    /// Checks the configuration and builds the table.
    ///
    /// # Errors
    ///
    /// Every mistake at once, each with its place: empty or duplicate names, unknown
    /// ModelServers, routes without rules, limits of 0, rules without targets, weights that
    /// are mixed, all 0 or above 100, invalid patterns and header names, endpoints that are
    /// not plain `http` or `https` URIs, `retry_statuses` after which a retry is pointless,
    /// rules for exactly a path that is not let through (see [`paths`](Self::paths)), and a
    /// model or ModelRoute for requests without a model that is not in the table.
    pub fn build(self) -> Result<RouteTable, BuildError> {
        self.build_after(None)
    }

    /// The same with what is as it was in the `last` table taken from there: its routes, if all are
    /// the same, and each ModelServer that is. It costs as much as has changed, and what two tables
    /// share is in memory once.
    pub(crate) fn build_after(
        mut self,
        last: Option<&CompiledTable>,
    ) -> Result<RouteTable, BuildError> {
        if let Some(last) = last {
            self.share(&last.config);
        }
        let config = Arc::new(self);
        let mut compiler = Compiler::new(&config, last);
        for (position, server) in config.get_model_servers().iter().enumerate() {
            compiler.server(position, server);
        }
        let routes = compiler.all_routes();
        compiler.whole(&routes);
        let Compiler {
            mistakes, servers, ..
        } = compiler;
        if let Some(error) = BuildError::new(mistakes) {
            return Err(error);
        }
        Ok(RouteTable::new(CompiledTable {
            routes,
            engine_headers: engine_headers(&servers),
            needed_keys: servers
                .iter()
                .map(|server| server.needed_keys())
                .fold(NeededKeys::default(), NeededKeys::and),
            servers: servers.into(),
            retry_budget: config
                .shared_budget()
                .unwrap_or_else(|| Arc::new(TpsBudget::default())),
            addresses: Arc::default(),
            homes: Homes::new(config.get_engine_state()),
            config: Arc::clone(&config),
        }))
    }
}

/// A ModelServer with these endpoints, each with its position in the configuration.
///
/// All that depends on which endpoints there are is made here, also when addresses have changed.
pub(super) fn live_server(
    table: &RouteTableBuilder,
    config: &ModelServer,
    endpoints: Vec<(Arc<Endpoint>, usize)>,
    headers: Box<[(HeaderName, HeaderValue)]>,
) -> Server {
    for (endpoint, position) in &endpoints {
        let configured = config.get_endpoints().get(*position);
        if let Some(name) = configured.and_then(config::Endpoint::get_name) {
            endpoint.is_called(name);
        }
    }
    let positions = endpoints.iter().map(|&(_, position)| index(position));
    let positions = positions.collect();
    let weight = |position: usize| {
        let configured = config.get_endpoints().get(position);
        configured.map_or(1, config::Endpoint::get_weight)
    };
    let zones = endpoints.iter().map(|&(_, position)| {
        let configured = config.get_endpoints().get(position);
        let zone = configured.and_then(config::Endpoint::get_zone);
        let is_own = zone.is_some() && zone == table.get_zone();
        (is_own, weight(position))
    });
    let zones = Zones::new(config.get_traffic_policy().get_prefer_zone(), zones);
    let weighted = endpoints.into_iter();
    let weighted = weighted.map(|(endpoint, position)| (endpoint, weight(position)));
    let mut server = Server::new(config, weighted.collect()).with_positions(positions);
    server.headers = headers;
    server.zones = zones;
    server
}

/// The headers that some ModelServer sends.
fn engine_headers(servers: &[Arc<Server>]) -> Box<[HeaderName]> {
    let all = servers.iter().flat_map(|server| &server.headers);
    let names: HashSet<_> = all.map(|(name, _)| name.clone()).collect();
    names.into_iter().collect()
}

/// The parts of the table so far, and the mistakes so far.
pub(super) struct Compiler<'c> {
    pub(super) config: &'c RouteTableBuilder,
    /// The table before, from which is taken what has not changed.
    pub(super) last: Option<&'c CompiledTable>,
    /// The ModelServers there, by their names.
    known: Known<'c>,
    /// The URIs of those that are not there, or not the same.
    fresh: HashSet<Arc<str>>,
    pub(super) mistakes: Vec<Mistake>,
    servers: Vec<Arc<Server>>,
    /// One for each URI, even where several ModelServers have it.
    endpoints: HashMap<Arc<str>, Arc<Endpoint>>,
    pub(super) server_names: HashMap<&'c str, u32>,
    pub(super) routes: CompiledRoutes,
    pub(super) schedules: Schedules,
    /// What `GET /v1/models` shows.
    pub(super) listed: Vec<Listed>,
}

impl<'c> Compiler<'c> {
    fn new(config: &'c RouteTableBuilder, last: Option<&'c CompiledTable>) -> Self {
        // A ModelServer has in it which of its endpoints are in the gateway's zone.
        let known = last.filter(|last| last.config.get_zone() == config.get_zone());
        let known = known.map(|last| last.servers.iter().zip(last.config.get_model_servers()));
        let known = known.into_iter().flatten();
        let known: HashMap<_, _> = known
            .map(|(server, config)| (config.get_name(), (server, config)))
            .collect();
        let fresh = fresh(config, &known);
        let endpoints = known.values().flat_map(|(server, _)| &server.endpoints);
        let endpoints = endpoints.filter(|endpoint| !fresh.contains(endpoint.uri()));
        Self {
            config,
            last,
            endpoints: endpoints
                .map(|endpoint| (Arc::clone(endpoint.uri()), Arc::clone(endpoint)))
                .collect(),
            known,
            fresh,
            mistakes: Vec::new(),
            servers: Vec::new(),
            server_names: HashMap::new(),
            routes: CompiledRoutes::default(),
            schedules: Schedules::default(),
            listed: Vec::new(),
        }
    }

    /// Adds a ModelServer: that of the table before, if it is the same.
    fn server(&mut self, position: usize, server: &'c ModelServer) {
        let is_fresh = |endpoint: &Arc<Endpoint>| self.fresh.contains(endpoint.uri());
        let same = same(&self.known, server);
        // Of one URI there is one endpoint, and what is new may have another name for it.
        let live = match same.filter(|same| !same.endpoints.iter().any(is_fresh)) {
            Some(live) => Arc::clone(live),
            None => self.new_server(position, server),
        };
        let index = index(self.servers.len());
        if self.server_names.insert(server.get_name(), index).is_some() {
            let place = Place::ModelServer(position, ServerPart::Whole);
            self.mistake(place, MistakeKind::DuplicateModelServer);
        }
        self.servers.push(live);
    }

    fn new_server(&mut self, position: usize, server: &'c ModelServer) -> Arc<Server> {
        let place = |part| Place::ModelServer(position, part);
        self.check_name(place(ServerPart::Whole), server.get_name());
        if let Some(model) = server.get_model() {
            self.check_name(place(ServerPart::Model), model);
        }
        let mut endpoints = Vec::with_capacity(server.get_endpoints().len());
        let mut seen = HashSet::new();
        for (endpoint, config) in server.get_endpoints().iter().enumerate() {
            let place = place(ServerPart::Endpoint(endpoint));
            match Address::parse(config.get_uri()) {
                Ok(address) if seen.insert(Arc::clone(&address.uri)) => {
                    let shared = self.endpoints.entry(Arc::clone(&address.uri));
                    let shared = shared.or_insert_with(|| Arc::new(Endpoint::new(address)));
                    endpoints.push((Arc::clone(shared), endpoint));
                }
                Ok(_) => self.mistake(place, MistakeKind::DuplicateEndpoint),
                Err(why) => self.mistake(place, MistakeKind::InvalidEndpoint(why)),
            }
            if config.get_weight() == 0 {
                self.mistake(place, MistakeKind::EndpointWeightZero);
            }
        }
        for mistake in server.get_balance().mistakes() {
            self.mistake(place(ServerPart::Balance), mistake);
        }
        let headers = self.headers(position, server);
        for (option, mistake) in server.get_traffic_policy().mistakes() {
            self.mistake(place(ServerPart::TrafficPolicy(Some(option))), mistake);
        }
        Arc::new(live_server(self.config, server, endpoints, headers))
    }

    /// The headers that the ModelServer's engines get.
    fn headers(
        &mut self,
        position: usize,
        server: &ModelServer,
    ) -> Box<[(HeaderName, HeaderValue)]> {
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (header, parsed) in server.parsed_headers().enumerate() {
            let place = Place::ModelServer(position, ServerPart::Header(header));
            match parsed {
                Ok((name, _)) if headers.iter().any(|(other, _)| *other == name) => {
                    self.mistake(place, MistakeKind::DuplicateHeader);
                }
                Ok(header) => headers.push(header),
                Err(mistake) => self.mistake(place, mistake),
            }
        }
        headers.into()
    }

    /// The options of the table as a whole.
    fn whole(&mut self, routes: &CompiledRoutes) {
        self.engine_state();
        let mistake = self.config.get_without_model().and_then(|what| {
            what.mistake(
                |model| routes.names.has(model),
                |route| routes.route_names.iter().any(|name| **name == *route),
            )
        });
        if let Some(mistake) = mistake {
            self.mistake(Place::WithoutModel, mistake);
        }
    }

    fn engine_state(&mut self) {
        let mistakes = self.config.get_engine_state().into_iter();
        for mistake in mistakes.flat_map(EngineState::mistakes) {
            self.mistake(Place::EngineState, mistake);
        }
    }

    pub(super) fn check_name(&mut self, place: Place, name: &str) {
        if name.is_empty() {
            self.mistake(place, MistakeKind::EmptyName);
        }
    }

    pub(super) fn mistake(&mut self, place: Place, kind: MistakeKind) {
        let words = place.words(self.config);
        self.mistakes.push(Mistake::new(place, words, kind));
    }
}

/// The ModelServers of the table before, by their names.
type Known<'c> = HashMap<&'c str, (&'c Arc<Server>, &'c ModelServer)>;

/// The ModelServer as it was, if it is the same, and its endpoints are those of its configuration.
fn same<'c>(known: &Known<'c>, server: &ModelServer) -> Option<&'c Arc<Server>> {
    let (live, known) = known.get(server.get_name())?;
    let mut endpoints = server.get_endpoints().iter();
    (*known == server && !endpoints.any(config::Endpoint::get_resolve)).then_some(live)
}

/// The URIs of ModelServers that are not the same.
fn fresh(config: &RouteTableBuilder, known: &Known<'_>) -> HashSet<Arc<str>> {
    if known.is_empty() {
        return HashSet::new();
    }
    let servers = config.get_model_servers().iter();
    let servers = servers.filter(|server| same(known, server).is_none());
    let endpoints = servers.flat_map(ModelServer::get_endpoints);
    let addresses = endpoints.filter_map(|endpoint| Address::parse(endpoint.get_uri()).ok());
    addresses.map(|address| address.uri).collect()
}
