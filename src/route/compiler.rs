//! From a configuration to a table: every name resolved, every mistake found.

use std::{collections::HashSet, fmt, ops::Range, sync::Arc};

use hashbrown::HashMap;
use http::HeaderName;
use tower::retry::budget::TpsBudget;

use super::{
    models::ModelList,
    picks::Picks,
    split::Split,
    table::{
        CompiledCondition, CompiledRule, Entry, Inner, Names, RouteTable, Run, SplitTargets,
        Targets, position as at,
    },
};
use crate::{
    config::{
        Balance, BuildError, Condition, HashKey, Mistake, MistakeKind, ModelRoute, ModelServer,
        RouteTableBuilder, Rule, TargetModel,
    },
    model::BodyWish,
    server::{Endpoint, InvalidEndpoint, Server},
};

impl RouteTableBuilder {
    /// Checks everything and makes the table.
    ///
    /// # Errors
    ///
    /// Every mistake at once, each with its place: empty or duplicate names,
    /// unknown ModelServers, routes without rules, rules without targets,
    /// weights that are mixed, all 0 or above 100, patterns and header names
    /// that are not valid, endpoints that are not plain `http` or `https`
    /// URIs, and statuses that can't be tried again.
    pub fn build(self) -> Result<RouteTable, BuildError> {
        let config = Arc::new(self.clone());
        let mut compiler = Compiler::default();
        for (position, server) in self.servers.into_iter().enumerate() {
            compiler.server(position, server);
        }
        for (position, route) in self.routes.into_iter().enumerate() {
            compiler.route(position, route);
        }
        match BuildError::new(compiler.mistakes) {
            Some(error) => Err(error),
            None => Ok(RouteTable::new(Inner {
                config,
                models: ModelList::new(
                    compiler
                        .listed
                        .iter()
                        .map(|(name, parent)| (name, parent.as_deref())),
                ),
                body_wish: compiler
                    .servers
                    .iter()
                    .map(|server| server.body_wish())
                    .fold(BodyWish::default(), BodyWish::and),
                rules: compiler.rules.into(),
                route_names: compiler.route_names.into(),
                servers: compiler.servers.into(),
                names: compiler.names.into(),
                shared: compiler.shared.into(),
                by_model: compiler.by_model,
                by_adapter: compiler.by_adapter,
                retry_budget: match self.retry_budget {
                    Some(budget) => budget.0,
                    None => Arc::new(TpsBudget::default()),
                },
            })),
        }
    }
}

/// The parts of the table so far, and what was wrong so far.
#[derive(Default)]
struct Compiler {
    mistakes: Vec<Mistake>,
    servers: Vec<Arc<Server>>,
    server_names: HashMap<Arc<str>, u32>,
    route_names: Vec<Arc<str>>,
    rules: Vec<CompiledRule>,
    names: Vec<Arc<str>>,
    shared: Vec<Vec<Range<u32>>>,
    by_model: Names,
    by_adapter: Names,
    /// What `GET /v1/models` shows: names and their parents.
    listed: Vec<(Arc<str>, Option<String>)>,
}

impl Compiler {
    fn server(&mut self, position: usize, server: ModelServer) {
        let place = Named("ModelServer", &server.name, position).to_string();
        self.check_name(&place, &server.name);
        if let Some(model) = &server.model {
            self.check_name(format_args!("{place}, model"), model);
        }
        let mut endpoints = Vec::with_capacity(server.endpoints.len());
        let mut seen = HashSet::new();
        for (position, &(ref text, weight)) in server.endpoints.iter().enumerate() {
            // The text itself is not shown: it may hold a password.
            let place = format_args!("{place}, endpoint #{}", position + 1);
            match Endpoint::parse(text) {
                Ok(endpoint) if seen.insert(Arc::clone(&endpoint.uri)) => {
                    endpoints.push((endpoint, weight));
                }
                Ok(_) => self.mistake(place, MistakeKind::DuplicateEndpoint),
                Err(InvalidEndpoint(why)) => {
                    self.mistake(place, MistakeKind::InvalidEndpoint(why));
                }
            }
            if weight == 0 {
                self.mistake(place, MistakeKind::EndpointWeightZero);
            }
        }
        self.balance(&place, &server.balance);
        for (part, mistake) in server.policy.mistakes() {
            self.mistake(format_args!("{place}, traffic_policy, {part}"), mistake);
        }
        let name: Arc<str> = server.name.as_str().into();
        let position = at(self.servers.len());
        if self.server_names.insert(name, position).is_some() {
            self.mistake(&place, MistakeKind::DuplicateModelServer);
        }
        self.servers.push(Arc::new(Server::new(server, endpoints)));
    }

    fn balance(&mut self, of_server: &str, balance: &Balance) {
        match balance {
            Balance::ConsistentHash(HashKey::Header(name))
                if HeaderName::try_from(name).is_err() =>
            {
                let place = format_args!("{of_server}, balance, header {name:?}");
                self.mistake(place, MistakeKind::InvalidHeaderName);
            }
            Balance::PrefixHash(0) => {
                let place = format_args!("{of_server}, balance");
                self.mistake(place, MistakeKind::PrefixOfNothing);
            }
            _ => {}
        }
    }

    fn route(&mut self, position: usize, route: ModelRoute) {
        let of_route = Named("ModelRoute", &route.name, position).to_string();
        self.check_name(&of_route, &route.name);
        if route.model_name.is_none() && route.lora_adapters.is_empty() {
            self.mistake(&of_route, MistakeKind::NoModel);
        }
        if let Some(model) = &route.model_name {
            self.check_name(format_args!("{of_route}, model_name"), model);
        }
        if route.rules.is_empty() {
            self.mistake(&of_route, MistakeKind::NoRules);
        }
        let first = at(self.rules.len());
        for (position, rule) in route.rules.into_iter().enumerate() {
            self.rule(&of_route, position, rule);
        }
        let run = first..at(self.rules.len());
        self.route_names.push(route.name.into());

        if let Some(model) = &route.model_name {
            let name: Arc<str> = model.as_str().into();
            self.add_name(Kind::Model, &name, run.clone());
            self.listed.push((name, None));
        }
        let mut seen = HashSet::new();
        for (position, adapter) in route.lora_adapters.iter().enumerate() {
            let place = Named("LoRA adapter", adapter, position);
            let place = format_args!("{of_route}, {place}");
            self.check_name(place, adapter);
            if !seen.insert(adapter) {
                self.mistake(place, MistakeKind::DuplicateAdapter);
                continue;
            }
            let name: Arc<str> = adapter.as_str().into();
            self.add_name(Kind::Adapter, &name, run.clone());
            self.listed.push((name, route.model_name.clone()));
        }
    }

    fn rule(&mut self, of_route: &str, position: usize, rule: Rule) {
        let place = Named("rule", &rule.name, position);
        let place = format!("{of_route}, {place}");
        self.check_name(&place, &rule.name);
        let conditions = rule
            .conditions
            .into_iter()
            .filter_map(|condition| self.condition(&place, condition))
            .collect();
        let targets = self.targets(&place, &rule.targets, &rule.fallbacks);
        self.rules.push(CompiledRule {
            picks: Picks::new(rule.targets.len() + rule.fallbacks.len()),
            name: rule.name.into(),
            route: at(self.route_names.len()),
            conditions,
            targets,
        });
    }

    /// `None` for a condition that is a mistake.
    fn condition(&mut self, of_rule: &str, condition: Condition) -> Option<CompiledCondition> {
        let (place, compiled) = match condition {
            Condition::Header(name, value) => {
                let place = format!("{of_rule}, header {name:?}");
                let compiled = match (HeaderName::try_from(&name), value.compile()) {
                    (Ok(name), Ok(value)) => Ok(CompiledCondition::Header(name, value)),
                    (Err(_), _) => Err(MistakeKind::InvalidHeaderName),
                    (_, Err(error)) => Err(MistakeKind::InvalidRegex(error.to_string())),
                };
                (place, compiled)
            }
            Condition::Uri(path) => {
                let compiled = path
                    .compile()
                    .map(CompiledCondition::Uri)
                    .map_err(|error| MistakeKind::InvalidRegex(error.to_string()));
                (format!("{of_rule}, uri"), compiled)
            }
            Condition::BodyModel(model) => {
                let place = format!("{of_rule}, body_model");
                self.check_name(&place, &model);
                (place, Ok(CompiledCondition::BodyModel(model.into())))
            }
        };
        compiled
            .map_err(|mistake| self.mistake(place, mistake))
            .ok()
    }

    fn targets(&mut self, of_rule: &str, targets: &[TargetModel], fallbacks: &[String]) -> Targets {
        if targets.is_empty() {
            self.mistake(of_rule, MistakeKind::NoTargets);
        }
        let mut seen = HashSet::new();
        let mut servers = Vec::with_capacity(targets.len() + fallbacks.len());
        for (position, target) in targets.iter().enumerate() {
            let place = format!(
                "{of_rule}, {}",
                Named("target", &target.model_server, position)
            );
            servers.extend(self.target(&place, &target.model_server, &mut seen));
            if let Some(weight @ 101..) = target.weight {
                self.mistake(place, MistakeKind::WeightTooLarge(weight));
            }
        }
        for (position, fallback) in fallbacks.iter().enumerate() {
            let place = format!("{of_rule}, {}", Named("fallback", fallback, position));
            servers.extend(self.target(&place, fallback, &mut seen));
        }
        let given: Vec<u32> = targets.iter().filter_map(|target| target.weight).collect();
        let weights = match given.len() {
            0 => vec![1; targets.len()],
            n if n == targets.len() => given,
            _ => {
                self.mistake(of_rule, MistakeKind::MixedWeights);
                return Targets::NONE;
            }
        };
        if !weights.is_empty() && weights.iter().all(|&weight| weight == 0) {
            self.mistake(of_rule, MistakeKind::AllWeightsZero);
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

    /// The position of a target's ModelServer; `None` for a target that is a mistake.
    fn target<'a>(
        &mut self,
        place: &str,
        name: &'a str,
        seen: &mut HashSet<&'a str>,
    ) -> Option<u32> {
        let mistake = match self.server_names.get(name) {
            _ if name.is_empty() => MistakeKind::EmptyName,
            _ if !seen.insert(name) => MistakeKind::DuplicateTarget,
            None => MistakeKind::UnknownModelServer,
            Some(&server) => return Some(server),
        };
        self.mistake(place, mistake);
        None
    }

    /// Lets `name` lead to the rules of `run`, after those that it already leads to.
    fn add_name(&mut self, kind: Kind, name: &Arc<str>, run: Range<u32>) {
        let names = match kind {
            Kind::Model => &mut self.by_model,
            Kind::Adapter => &mut self.by_adapter,
        };
        let Some(entry) = names.get_mut(name) else {
            let entry = Entry {
                name: at(self.names.len()),
                rules: Run::Rules(run.start, run.end),
            };
            self.names.push(Arc::clone(name));
            names.insert(Arc::clone(name), entry);
            return;
        };
        match entry.rules {
            Run::Rules(start, end) => {
                entry.rules = Run::Shared(at(self.shared.len()));
                self.shared.push(vec![start..end, run]);
            }
            Run::Shared(shared) => self.shared[shared as usize].push(run),
        }
    }

    fn check_name(&mut self, place: impl fmt::Display, name: &str) {
        if name.is_empty() {
            self.mistake(place, MistakeKind::EmptyName);
        }
    }

    fn mistake(&mut self, place: impl fmt::Display, kind: MistakeKind) {
        self.mistakes.push(Mistake::new(place, kind));
    }
}

/// The positions of targets with these weights, and of the fallbacks up to `all` after them.
fn heaviest_first(weights: &[u32], all: usize) -> Box<[u32]> {
    let mut order: Vec<u32> = (0..at(all)).collect();
    order[..weights.len()].sort_by_key(|&target| std::cmp::Reverse(weights[target as usize]));
    order.into()
}

/// How a name is found.
enum Kind {
    Model,
    Adapter,
}

/// A thing by its name, or by its position where it has none.
struct Named<'a>(&'static str, &'a str, usize);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(what, name, position) = *self;
        if name.is_empty() {
            write!(f, "{what} #{}", position + 1)
        } else {
            write!(f, "{what} {name:?}")
        }
    }
}
