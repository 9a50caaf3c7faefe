//! The routes of a configuration, compiled.

use std::{collections::HashSet, ops::Range, sync::Arc};

use http::HeaderName;

use super::{
    compiler::Compiler,
    models::{Listed, ModelList},
    names::{Kind, Run, index},
    picks::Picks,
    routes::CompiledRoutes,
    rule::{CompiledCondition, CompiledRule, SplitTargets, Targets},
};
use crate::{
    config::{
        ApiPaths, Condition, MistakeKind, ModelRoute, ModelServer, Place, Reason, RoutePart, Rule,
        StringMatch, bad_segment,
    },
    limit::{LiveLimit, store_of},
};

impl<'c> Compiler<'c> {
    /// All routes; those of the table before, where they would be the same.
    pub(super) fn all_routes(&mut self) -> Arc<CompiledRoutes> {
        if let Some(same) = self.same_routes() {
            return same;
        }
        let config = self.config;
        for (position, route) in config.get_model_routes().iter().enumerate() {
            self.route(position, route);
        }
        let mut routes = std::mem::take(&mut self.routes);
        routes.made_of = config.get_model_routes().to_vec();
        routes.models = ModelList::new(std::mem::take(&mut self.listed));
        routes.counts_prompts = routes.rules.iter().any(CompiledRule::counts_prompts);
        let mut limits = routes.limits.iter().flatten();
        routes.limits_tokens = limits.any(|limit| limit.is_of_tokens());
        if routes.limits.iter().all(|limits| limits.is_empty()) {
            routes.limits = Vec::new();
        }
        Arc::new(routes)
    }

    /// They depend on the paths, and on the names and positions of the ModelServers and what
    /// `GET /v1/models` has of them.
    fn same_routes(&self) -> Option<Arc<CompiledRoutes>> {
        let last = self.last?;
        let listed = |server: &'c ModelServer| (server.get_name(), server.get_max_model_len());
        let servers = self.config.get_model_servers().iter().map(listed);
        let is_same = self.config.has_routes_of(&last.config)
            && servers.eq(last.config.get_model_servers().iter().map(listed))
            && self.config.get_paths() == last.config.get_paths();
        is_same.then(|| Arc::clone(&last.routes))
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
        let first = index(self.routes.rules.len());
        for (rule, config) in route.get_rules().iter().enumerate() {
            self.rule(position, rule, config);
        }
        let run = first..index(self.routes.rules.len());
        self.routes.route_names.push(route.get_name().into());
        self.limits(position, route);

        if let Some(model) = route.get_model_name() {
            self.add_name(Kind::Model, model, run.clone());
            self.list(model, None, route);
        }
        let mut seen = HashSet::new();
        for (position, adapter) in route.get_lora_adapters().iter().enumerate() {
            let place = place(RoutePart::Adapter(position));
            self.check_name(place, adapter);
            if !seen.insert(adapter) {
                if !adapter.is_empty() {
                    self.mistake(place, MistakeKind::DuplicateAdapter);
                }
                continue;
            }
            self.add_name(Kind::Adapter, adapter, run.clone());
            let parent = route.get_model_name().map(str::to_owned);
            self.list(adapter, parent, route);
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
        self.routes.limits.push(match self.mistakes.is_empty() {
            true => live.collect(),
            false => Box::default(),
        });
    }

    fn list(&mut self, id: &str, parent: Option<String>, route: &ModelRoute) {
        let rules = route.get_rules().iter();
        let servers = self.config.get_model_servers();
        let max_model_len = rules
            .flat_map(Rule::model_servers)
            .filter_map(|name| servers.get(*self.server_names.get(name)? as usize))
            .filter_map(ModelServer::get_max_model_len)
            .min();
        self.listed.push(Listed {
            id: id.into(),
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
        self.routes.rules.push(CompiledRule {
            picks: Picks::new(rule.model_servers().count()),
            name: rule.get_name().into(),
            route: index(self.routes.route_names.len()),
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
                split: Arc::new(self.schedules.split(&weights)),
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
    fn add_name(&mut self, kind: Kind, name: &str, run: Range<u32>) {
        let only = match &self.routes.rules[run.start as usize..run.end as usize] {
            [rule] => rule.only_server(),
            _ => None,
        };
        let rules = match only {
            Some(server) => Run::One {
                rule: run.start,
                server,
            },
            None => Run::Rules(run.start, run.end),
        };
        let Some(entry) = self.routes.names.add(kind, name, rules) else {
            return;
        };
        let first = match entry.rules {
            Run::One { rule, .. } => rule..rule + 1,
            Run::Rules(start, end) => start..end,
            Run::Shared(shared) => return self.routes.shared[shared as usize].push(run),
        };
        entry.rules = Run::Shared(index(self.routes.shared.len()));
        self.routes.shared.push(vec![first, run]);
    }

    /// A rule for exactly a path that is never let through can't match.
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
