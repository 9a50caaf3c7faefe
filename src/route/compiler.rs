//! From a configuration to a table: every name resolved, every mistake found.

use std::{
    collections::HashSet,
    ops::Range,
    sync::{Arc, OnceLock},
};

use hashbrown::HashMap;
use http::{HeaderName, HeaderValue};
use tower::retry::budget::TpsBudget;

use super::{
    models::{Listed, ModelList},
    picks::Picks,
    split::Split,
    table::{
        CompiledCondition, CompiledRule, CompiledTable, Entry, Names, RouteTable, Run,
        SplitTargets, Targets, index,
    },
};
use crate::{
    config::{
        self, Address, ApiPaths, BuildError, Condition, EngineState, Mistake, MistakeKind,
        ModelRoute, ModelServer, Place, Reason, RoutePart, RouteTableBuilder, Rule, ServerPart,
        StringMatch, bad_segment,
    },
    limit::{LiveLimit, store_of},
    model::NeededKeys,
    server::{Endpoint, Homes, Server, Zones},
};

impl RouteTableBuilder {
    /// Checks everything and makes the table.
    ///
    /// # Errors
    ///
    /// Every mistake at once, each with its place: empty or duplicate names,
    /// unknown ModelServers, routes without rules, limits of nothing, rules without targets,
    /// weights that are mixed, all 0 or above 100, invalid patterns and header
    /// names, endpoints that are not plain `http` or `https` URIs,
    /// `retry_statuses` after which a retry is pointless, rules for exactly
    /// a path that is not let through (see [`paths`](Self::paths)), and a model or
    /// ModelRoute for requests without a model that is not in the table.
    pub fn build(self) -> Result<RouteTable, BuildError> {
        let config = Arc::new(self);
        let mut compiler = Compiler::new(&config);
        for (position, server) in config.get_model_servers().iter().enumerate() {
            compiler.server(position, server);
        }
        for (position, route) in config.get_model_routes().iter().enumerate() {
            compiler.route(position, route);
        }
        compiler.whole();
        let Compiler {
            mistakes,
            servers,
            route_names,
            limits,
            rules,
            names,
            shared,
            by_model,
            by_adapter,
            listed,
            ..
        } = compiler;
        if let Some(error) = BuildError::new(mistakes) {
            return Err(error);
        }
        Ok(RouteTable::new(CompiledTable {
            models: ModelList::new(listed),
            engine_headers: engine_headers(&servers),
            needed_keys: servers
                .iter()
                .map(|server| server.needed_keys())
                .fold(NeededKeys::default(), NeededKeys::and),
            counts_prompts: rules.iter().any(CompiledRule::counts_prompts),
            limits_tokens: limits.iter().flatten().any(LiveLimit::is_of_tokens),
            limits: limits.into_iter().map(Vec::into_boxed_slice).collect(),
            rules: rules.into(),
            route_names: route_names.into(),
            by_name: OnceLock::new(),
            servers: servers.into(),
            names: names.into(),
            shared: shared.into(),
            by_model,
            by_adapter,
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
struct Compiler<'c> {
    config: &'c RouteTableBuilder,
    mistakes: Vec<Mistake>,
    servers: Vec<Arc<Server>>,
    /// One for each URI, also where several ModelServers have it.
    endpoints: HashMap<Arc<str>, Arc<Endpoint>>,
    server_names: HashMap<&'c str, u32>,
    route_names: Vec<Arc<str>>,
    limits: Vec<Vec<Arc<LiveLimit>>>,
    rules: Vec<CompiledRule>,
    names: Vec<Arc<str>>,
    shared: Vec<Vec<Range<u32>>>,
    by_model: Names,
    by_adapter: Names,
    /// What `GET /v1/models` shows.
    listed: Vec<Listed>,
}

impl<'c> Compiler<'c> {
    fn new(config: &'c RouteTableBuilder) -> Self {
        Self {
            config,
            mistakes: Vec::new(),
            servers: Vec::new(),
            endpoints: HashMap::new(),
            server_names: HashMap::new(),
            route_names: Vec::new(),
            limits: Vec::new(),
            rules: Vec::new(),
            names: Vec::new(),
            shared: Vec::new(),
            by_model: Names::new(),
            by_adapter: Names::new(),
            listed: Vec::new(),
        }
    }

    fn server(&mut self, position: usize, server: &'c ModelServer) {
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
        let index = index(self.servers.len());
        if self.server_names.insert(server.get_name(), index).is_some() {
            self.mistake(place(ServerPart::Whole), MistakeKind::DuplicateModelServer);
        }
        let server = live_server(self.config, server, endpoints, headers);
        self.servers.push(Arc::new(server));
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

    fn route(&mut self, position: usize, route: &'c ModelRoute) {
        let place = |part| Place::ModelRoute(position, part);
        self.check_name(place(RoutePart::Whole), route.get_name());
        if route.get_model_name().is_none() && route.get_lora_adapters().is_empty() {
            self.mistake(place(RoutePart::Whole), MistakeKind::NoModel);
        }
        if let Some(model) = route.get_model_name() {
            self.check_name(place(RoutePart::ModelName), model);
        }
        if route.get_rules().is_empty() {
            self.mistake(place(RoutePart::Whole), MistakeKind::NoRules);
        }
        let first = index(self.rules.len());
        for (rule, config) in route.get_rules().iter().enumerate() {
            self.rule(position, rule, config);
        }
        let run = first..index(self.rules.len());
        self.route_names.push(route.get_name().into());
        self.limits(position, route);

        if let Some(model) = route.get_model_name() {
            let name: Arc<str> = model.into();
            self.add_name(Kind::Model, &name, run.clone());
            self.list(name, None, route);
        }
        let mut seen = HashSet::new();
        for (position, adapter) in route.get_lora_adapters().iter().enumerate() {
            let place = place(RoutePart::Adapter(position));
            self.check_name(place, adapter);
            if !seen.insert(adapter) {
                self.mistake(place, MistakeKind::DuplicateAdapter);
                continue;
            }
            let name: Arc<str> = adapter.as_str().into();
            self.add_name(Kind::Adapter, &name, run.clone());
            let parent = route.get_model_name().map(str::to_owned);
            self.list(name, parent, route);
        }
    }

    fn limits(&mut self, position: usize, route: &'c ModelRoute) {
        let configs = route.get_rate_limits();
        let model = route.get_model_name();
        for (limit, config) in configs.iter().enumerate() {
            let before = configs.get(..limit).unwrap_or_default();
            for mistake in config.mistakes(before, model.is_some()) {
                let place = Place::ModelRoute(position, RoutePart::Limit(limit));
                self.mistake(place, mistake);
            }
        }
        let live = configs
            .iter()
            .map(|config| LiveLimit::new(config, route.get_name(), model, store_of(config)));
        self.limits.push(match self.mistakes.is_empty() {
            true => live.collect(),
            false => Vec::new(),
        });
    }

    fn list(&mut self, id: Arc<str>, parent: Option<String>, route: &ModelRoute) {
        let rules = route.get_rules().iter();
        let servers = self.config.get_model_servers();
        let max_model_len = rules
            .flat_map(Rule::model_servers)
            .filter_map(|name| servers.get(*self.server_names.get(name)? as usize))
            .filter_map(ModelServer::get_max_model_len)
            .min();
        self.listed.push(Listed {
            id,
            parent,
            max_model_len,
        });
    }

    fn rule(&mut self, route: usize, position: usize, rule: &'c Rule) {
        let place = Place::ModelRoute(route, RoutePart::Rule(position));
        self.check_name(place, rule.get_name());
        let mut conditions = Vec::with_capacity(rule.get_conditions().len());
        for (condition, config) in rule.get_conditions().iter().enumerate() {
            let place = Place::ModelRoute(route, RoutePart::Condition(position, condition));
            match compiled(config) {
                Ok(compiled) => conditions.push(compiled),
                Err(mistake) => self.mistake(place, mistake),
            }
            if let Condition::Uri(StringMatch::Exact(path)) = config {
                self.check_path(place, path);
            }
        }
        let targets = self.targets(route, position, rule);
        self.rules.push(CompiledRule {
            picks: Picks::new(rule.model_servers().count()),
            name: rule.get_name().into(),
            route: index(self.route_names.len()),
            conditions: conditions.into(),
            targets,
        });
    }

    fn targets(&mut self, route: usize, position: usize, rule: &'c Rule) -> Targets {
        let place = |part| Place::ModelRoute(route, part);
        let targets = rule.get_targets();
        if targets.is_empty() {
            self.mistake(place(RoutePart::Rule(position)), MistakeKind::NoTargets);
        }
        let mut seen = HashSet::new();
        let mut servers = Vec::with_capacity(rule.model_servers().count());
        for (target, config) in targets.iter().enumerate() {
            let place = place(RoutePart::Target(position, target));
            servers.extend(self.target(place, config.get_model_server(), &mut seen));
            if let Some(weight @ 101..) = config.get_weight() {
                self.mistake(place, MistakeKind::WeightTooLarge(weight));
            }
        }
        for (fallback, name) in rule.get_fallbacks().iter().enumerate() {
            let place = place(RoutePart::Fallback(position, fallback));
            servers.extend(self.target(place, name, &mut seen));
        }
        let given: Vec<u32> = targets
            .iter()
            .filter_map(|target| target.get_weight())
            .collect();
        let weights = match given.len() {
            0 => vec![1; targets.len()],
            n if n == targets.len() => given,
            _ => {
                self.mistake(place(RoutePart::Rule(position)), MistakeKind::MixedWeights);
                return Targets::NONE;
            }
        };
        if !weights.is_empty() && weights.iter().all(|&weight| weight == 0) {
            self.mistake(
                place(RoutePart::Rule(position)),
                MistakeKind::AllWeightsZero,
            );
        }
        match *servers {
            _ if !self.mistakes.is_empty() => Targets::NONE,
            [server] => Targets::One(server),
            _ => Targets::Split(Box::new(SplitTargets {
                order: heaviest_first(&weights, servers.len()),
                servers: servers.into(),
                split: Arc::new(Split::new(&weights)),
            })),
        }
    }

    /// The index of a target's ModelServer; `None` for a target that is a mistake.
    fn target(&mut self, place: Place, name: &'c str, seen: &mut HashSet<&'c str>) -> Option<u32> {
        let mistake = match self.server_names.get(name) {
            _ if name.is_empty() => MistakeKind::EmptyName,
            _ if !seen.insert(name) => MistakeKind::DuplicateTarget,
            None => MistakeKind::UnknownModelServer,
            Some(&server) => return Some(server),
        };
        self.mistake(place, mistake);
        None
    }

    /// Maps `name` to the rules of `run`, after those that it already maps to.
    fn add_name(&mut self, kind: Kind, name: &Arc<str>, run: Range<u32>) {
        let names = match kind {
            Kind::Model => &mut self.by_model,
            Kind::Adapter => &mut self.by_adapter,
        };
        let Some(entry) = names.get_mut(name) else {
            let entry = Entry {
                name: index(self.names.len()),
                rules: Run::Rules(run.start, run.end),
            };
            self.names.push(Arc::clone(name));
            names.insert(Arc::clone(name), entry);
            return;
        };
        match entry.rules {
            Run::Rules(start, end) => {
                entry.rules = Run::Shared(index(self.shared.len()));
                self.shared.push(vec![start..end, run]);
            }
            Run::Shared(shared) => self.shared[shared as usize].push(run),
        }
    }

    /// What is said of the table as a whole.
    fn whole(&mut self) {
        self.engine_state();
        let mistake = self.config.get_without_model().and_then(|what| {
            what.mistake(
                |model| self.by_model.contains_key(model) || self.by_adapter.contains_key(model),
                |route| self.route_names.iter().any(|name| **name == *route),
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

    fn check_name(&mut self, place: Place, name: &str) {
        if name.is_empty() {
            self.mistake(place, MistakeKind::EmptyName);
        }
    }

    /// A rule for exactly a path that is never let through is dead.
    fn check_path(&mut self, place: Place, path: &str) {
        let paths = self.config.get_paths();
        let is_allowed = match paths {
            Some(paths) => paths.allow_exactly(path),
            None => ApiPaths::none().allow_exactly(path),
        };
        let any = paths.is_some_and(ApiPaths::are_all);
        if let Some(what) = bad_segment(path, any) {
            let why = Reason::from(format!("no request may have {what}"));
            self.mistake(place, MistakeKind::InvalidPath(why));
        } else if !is_allowed {
            self.mistake(place, MistakeKind::UnknownPath);
        }
    }

    fn mistake(&mut self, place: Place, kind: MistakeKind) {
        let words = place.words(self.config);
        self.mistakes.push(Mistake::new(place, words, kind));
    }
}

fn compiled(condition: &Condition) -> Result<CompiledCondition, MistakeKind> {
    let matcher = |value: &StringMatch| {
        let compiled = value.compile();
        compiled.map_err(|error| MistakeKind::InvalidRegex(Reason::from(error.to_string())))
    };
    match condition {
        Condition::Header(name, value) => {
            let name = HeaderName::try_from(name).map_err(|_| MistakeKind::InvalidHeaderName)?;
            Ok(CompiledCondition::Header(name, matcher(value)?))
        }
        Condition::Uri(path) => Ok(CompiledCondition::Uri(matcher(path)?)),
        Condition::BodyModel(model) if model.is_empty() => Err(MistakeKind::EmptyName),
        Condition::BodyModel(model) => Ok(CompiledCondition::BodyModel(model.as_str().into())),
        Condition::PromptTokens { min, max } if max.is_some_and(|max| max < *min) => {
            Err(MistakeKind::EmptyRange)
        }
        Condition::PromptTokens { min, max } => Ok(CompiledCondition::PromptTokens {
            min: *min,
            max: max.unwrap_or(u64::MAX),
        }),
    }
}

/// The positions of targets with these weights, and of the fallbacks up to `all` after them.
fn heaviest_first(weights: &[u32], all: usize) -> Box<[u32]> {
    let mut order: Vec<u32> = (0..index(all)).collect();
    order[..weights.len()].sort_by_key(|&target| std::cmp::Reverse(weights[target as usize]));
    order.into()
}

/// The kind of a name: how a route is found by it.
enum Kind {
    Model,
    Adapter,
}
