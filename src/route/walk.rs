//! Walks the table from top to bottom, beside its configuration, to explain it.

#[cfg(feature = "admin")]
use std::sync::Arc;
use std::{borrow::Cow, iter, ops::Range};

use http::request::Parts;

use super::{
    names::{Entry, Kind, Run},
    rule::{CompiledCondition, CompiledRule, RequestView},
    table::CompiledTable,
};
#[cfg(feature = "admin")]
use crate::limit::LiveLimit;
use crate::{
    config::{Condition, ModelRoute, ModelServer, Rule},
    server::Server,
};

/// A route that has the requested name.
pub(crate) struct Found<'t> {
    pub(crate) route: &'t ModelRoute,
    pub(crate) rules: Vec<RuleView<'t>>,
    pub(crate) by_adapter: bool,
}

/// A rule, as it was written and as it is evaluated.
#[derive(Clone, Copy)]
pub(crate) struct RuleView<'t> {
    pub(crate) config: &'t Rule,
    pub(crate) compiled: &'t CompiledRule,
}

/// A condition and its result for a request.
pub(crate) struct Examined<'t> {
    pub(crate) condition: &'t Condition,
    pub(crate) holds: bool,
    pub(crate) seen: Vec<Seen<'t>>,
}

/// A value that a condition looked at, and whether it is known to be a secret.
pub(crate) struct Seen<'t> {
    pub(crate) value: Cow<'t, [u8]>,
    pub(crate) is_sensitive: bool,
}

impl CompiledTable {
    /// The routes that have this name, in the order in which they are tried.
    pub(crate) fn find(&self, name: &str) -> Vec<Found<'_>> {
        let kinds = [Kind::Model, Kind::Adapter].into_iter();
        let entries = kinds.filter_map(|kind| Some((self.routes.names.get(kind, name)?, kind)));
        entries
            .flat_map(|(entry, kind)| {
                let runs = self.runs(entry).into_iter();
                runs.filter_map(move |run| self.found(&run, kind == Kind::Adapter))
            })
            .collect()
    }

    /// The routes that have this as their own name.
    pub(crate) fn find_route(&self, name: &str) -> Vec<Found<'_>> {
        let routes = self.routes.routes_named(name).iter();
        routes
            .filter_map(|&route| self.found(&self.routes.rules_of(route), false))
            .collect()
    }

    /// All routes with their rules, in the order in which they were added.
    #[cfg(any(feature = "admin", feature = "metrics"))]
    pub(crate) fn walk(&self) -> impl Iterator<Item = (&ModelRoute, Vec<RuleView<'_>>)> {
        let mut next = 0;
        self.config.get_model_routes().iter().map(move |route| {
            let run = next..next + route.get_rules().len();
            next = run.end;
            (route, self.views(route, run))
        })
    }

    /// The names of all routes, with their limits.
    #[cfg(feature = "admin")]
    pub(crate) fn routes_with_limits(
        &self,
    ) -> impl Iterator<Item = (&Arc<str>, &[Arc<LiveLimit>])> {
        let names = self.routes.route_names.iter().enumerate();
        names.map(|(route, name)| (name, self.limits_of(route)))
    }

    /// All ModelServers, with their configuration.
    #[cfg(feature = "admin")]
    pub(crate) fn walk_servers(&self) -> impl Iterator<Item = (&ModelServer, &Server)> {
        let servers = self.servers.iter().map(|server| &**server);
        self.config.get_model_servers().iter().zip(servers)
    }

    /// A target of a rule, with its configuration.
    pub(crate) fn target_of(
        &self,
        rule: RuleView<'_>,
        target: usize,
    ) -> Option<(&ModelServer, &Server)> {
        let server = rule.compiled.server(target) as usize;
        Some((
            self.config.get_model_servers().get(server)?,
            self.servers.get(server)?,
        ))
    }

    /// The runs of rules, each of one route.
    fn runs(&self, entry: &Entry) -> Vec<Range<u32>> {
        match entry.rules {
            Run::One { rule, .. } => iter::once(rule..rule + 1).collect(),
            Run::Rules(start, end) => iter::once(start..end).collect(),
            Run::Shared(shared) => self.routes.shared[shared as usize].clone(),
        }
    }

    fn found(&self, run: &Range<u32>, by_adapter: bool) -> Option<Found<'_>> {
        let run = run.start as usize..run.end as usize;
        let route = self.routes.rules.get(run.start)?.route;
        let route = self.config.get_model_routes().get(route as usize)?;
        Some(Found {
            route,
            rules: self.views(route, run),
            by_adapter,
        })
    }

    fn views<'t>(&'t self, route: &'t ModelRoute, run: Range<usize>) -> Vec<RuleView<'t>> {
        let compiled = self.routes.rules.get(run).unwrap_or_default();
        let both = route.get_rules().iter().zip(compiled);
        both.map(|(config, compiled)| RuleView { config, compiled })
            .collect()
    }
}

impl<'t> RuleView<'t> {
    /// The weights of the targets, fallbacks excluded; all are 1 if none are given.
    pub(crate) fn weights(&self) -> Vec<u32> {
        let targets = self.config.get_targets().iter();
        targets
            .map(|target| target.get_weight().unwrap_or(1))
            .collect()
    }

    /// All conditions, including those after the first that does not hold.
    pub(crate) fn examine(
        &self,
        head: &'t Parts,
        model: &'t str,
        tokens: Option<u64>,
    ) -> Vec<Examined<'t>> {
        let request = RequestView::new(head, model, tokens);
        let both = self
            .config
            .get_conditions()
            .iter()
            .zip(&self.compiled.conditions);
        both.map(|(condition, compiled)| Examined {
            condition,
            holds: compiled.holds(&request),
            seen: compiled.seen(&request),
        })
        .collect()
    }
}

impl CompiledCondition {
    /// The values that the condition looks at; empty if the header is missing.
    fn seen<'t>(&self, request: &RequestView<'t>) -> Vec<Seen<'t>> {
        let plain = |value| Seen {
            value,
            is_sensitive: false,
        };
        match self {
            Self::Header(name, _) => request
                .values(name)
                .map(|(value, is_sensitive)| Seen {
                    value: value.into(),
                    is_sensitive,
                })
                .collect(),
            Self::Uri(_) => vec![plain(request.path().to_vec().into())],
            Self::BodyModel(_) => vec![plain(request.model.as_bytes().into())],
            Self::PromptTokens { .. } => {
                let tokens = request.tokens.iter();
                tokens
                    .map(|tokens| plain(tokens.to_string().into_bytes().into()))
                    .collect()
            }
        }
    }
}
