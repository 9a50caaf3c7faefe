//! The decision as one would write it down: a scan of the configuration, from top to bottom.

use tower_model_route::{
    ModelMatch, ModelRoute, ModelServer, RouteTable, Rule, StringMatch, TargetModel,
};

/// A table as plain data.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Whether each server has an endpoint.
    pub(crate) servers: Vec<bool>,
    pub(crate) routes: Vec<RouteConfig>,
}

#[derive(Clone, Debug)]
pub(crate) struct RouteConfig {
    pub(crate) model: Option<&'static str>,
    pub(crate) adapters: Vec<&'static str>,
    pub(crate) rules: Vec<RuleConfig>,
}

#[derive(Clone, Debug)]
pub(crate) struct RuleConfig {
    pub(crate) conditions: Vec<Condition>,
    /// Servers and their weights.
    pub(crate) targets: Vec<(usize, u32)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Header(&'static str, How),
    Path(How),
    Model(&'static str),
}

#[derive(Clone, Debug)]
pub(crate) enum How {
    Is(&'static str),
    BeginsWith(&'static str),
    /// As a regular expression: the texts here have no special character.
    Contains(&'static str),
}

/// A request as plain data.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) model: &'static str,
    pub(crate) path: &'static str,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
}

/// What must come of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    ModelNotFound,
    RouteNotFound,
    NoEndpoint,
    /// The positions of route and rule, whether by an adapter's name, and the servers that may
    /// get the request.
    Goes(usize, usize, bool, Vec<usize>),
}

impl Config {
    pub(crate) fn decide(&self, ask: &Ask) -> Outcome {
        let mut known = false;
        for lora in [false, true] {
            for (route, config) in self.routes.iter().enumerate() {
                let named = match lora {
                    false => config.model == Some(ask.model),
                    true => config.adapters.contains(&ask.model),
                };
                known |= named;
                if !named {
                    continue;
                }
                for (rule, config) in config.rules.iter().enumerate() {
                    if config
                        .conditions
                        .iter()
                        .all(|condition| condition.holds(ask))
                    {
                        return self.split(route, rule, lora, &config.targets);
                    }
                }
            }
        }
        if known {
            Outcome::RouteNotFound
        } else {
            Outcome::ModelNotFound
        }
    }

    fn split(&self, route: usize, rule: usize, lora: bool, targets: &[(usize, u32)]) -> Outcome {
        let up = |weighted: bool| -> Vec<usize> {
            targets
                .iter()
                .filter(|(server, weight)| self.servers[*server] && (*weight > 0) == weighted)
                .map(|(server, _)| *server)
                .collect()
        };
        let (with_share, without) = (up(true), up(false));
        match (with_share.is_empty(), without.first()) {
            (false, _) => Outcome::Goes(route, rule, lora, with_share),
            (true, Some(&last_resort)) => Outcome::Goes(route, rule, lora, vec![last_resort]),
            (true, None) => Outcome::NoEndpoint,
        }
    }

    /// The same as a table; routes, rules and servers are named by their positions.
    pub(crate) fn table(&self) -> RouteTable {
        let mut table = RouteTable::builder().paths(tower_model_route::ApiPaths::any());
        for (position, up) in self.servers.iter().enumerate() {
            let endpoint = up.then(|| format!("http://h{position}"));
            table = table.model_server(ModelServer::new(position.to_string()).endpoints(endpoint));
        }
        for (position, config) in self.routes.iter().enumerate() {
            let mut route =
                ModelRoute::new(position.to_string()).lora_adapters(config.adapters.clone());
            if let Some(model) = config.model {
                route = route.model_name(model);
            }
            for (position, config) in config.rules.iter().enumerate() {
                route = route.rule(config.rule(position));
            }
            table = table.model_route(route);
        }
        table.build().unwrap()
    }
}

impl RuleConfig {
    fn rule(&self, position: usize) -> Rule {
        let mut rule = Rule::new(position.to_string());
        for condition in &self.conditions {
            let conditions = ModelMatch::new();
            rule = rule.when(match condition {
                Condition::Header(name, how) => conditions.header(*name, how.string_match()),
                Condition::Path(how) => conditions.uri(how.string_match()),
                Condition::Model(model) => conditions.body_model(*model),
            });
        }
        for (server, weight) in &self.targets {
            rule = rule.target(TargetModel::new(server.to_string()).weight(*weight));
        }
        rule
    }
}

impl Condition {
    fn holds(&self, ask: &Ask) -> bool {
        match self {
            Self::Header(name, how) => ask
                .headers
                .iter()
                .any(|(sent, value)| sent.eq_ignore_ascii_case(name) && how.holds(value)),
            Self::Path(how) => how.holds(ask.path),
            Self::Model(model) => *model == ask.model,
        }
    }
}

impl How {
    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Is(text) => value == *text,
            Self::BeginsWith(text) => value.starts_with(text),
            Self::Contains(text) => value.contains(text),
        }
    }

    fn string_match(&self) -> StringMatch {
        match self {
            Self::Is(text) => StringMatch::exact(*text),
            Self::BeginsWith(text) => StringMatch::prefix(*text),
            Self::Contains(text) => StringMatch::regex(*text),
        }
    }
}
