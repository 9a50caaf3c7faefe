//! The table that requests are routed by, and the decision.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    net::IpAddr,
    sync::Arc,
};

use http::{HeaderName, request::Parts, uri::Scheme};
use tower::retry::budget::Budget;

use super::{
    names::{Entry, Kind, Name, Run},
    routes::CompiledRoutes,
    rule::{CompiledRule, RequestView, Targets},
};
use crate::{
    config::{ApiPaths, Encoding, MistakeKind, RouteTableBuilder, WithoutModel},
    error::{Excerpt, RouteError, RouteErrorKind},
    limit::LiveLimit,
    model::NeededKeys,
    server::{Caller, Endpoint, Homes, Server, Unknown},
};

/// The routes and ModelServers of a gateway, checked and ready for use.
///
/// It is made by [`RouteTable::builder`] and goes into
/// [`ModelRouteLayer::new`](crate::ModelRouteLayer::new). Clones are cheap and
/// share one state: the in-flight counts and the position of each split.
#[derive(Clone)]
pub struct RouteTable(Arc<CompiledTable>);

impl RouteTable {
    /// An empty table to add ModelServers and ModelRoutes to.
    pub fn builder() -> RouteTableBuilder {
        RouteTableBuilder::default()
    }

    pub(super) fn new(table: CompiledTable) -> Self {
        Self(Arc::new(table))
    }

    pub(crate) fn compiled(&self) -> &Arc<CompiledTable> {
        &self.0
    }

    pub(super) fn into_compiled(self) -> Arc<CompiledTable> {
        self.0
    }

    pub(super) fn from_compiled(table: Arc<CompiledTable>) -> Self {
        Self(table)
    }

    /// The configuration that it was built from.
    ///
    /// A clone of it can be changed and built again.
    pub fn config(&self) -> &RouteTableBuilder {
        &self.0.config
    }
}

impl fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteTable")
            .field("routes", &self.0.routes.route_names.len())
            .field("servers", &self.0.servers.len())
            .finish_non_exhaustive()
    }
}

/// The compiled table. A clone shares the live parts: the ModelServers and the splits.
#[derive(Clone)]
pub(crate) struct CompiledTable {
    /// The configuration that it was built from. It is dropped before the routes.
    pub(super) config: Arc<RouteTableBuilder>,
    /// Shared by tables of which this is the same.
    pub(crate) routes: Arc<CompiledRoutes>,
    pub(crate) servers: Box<[Arc<Server>]>,
    /// The keys in a request's body that the choice of an endpoint needs.
    pub(crate) needed_keys: NeededKeys,
    /// The headers that some ModelServer sends to its engines.
    pub(super) engine_headers: Box<[HeaderName]>,
    /// The retry budget, shared by all requests.
    pub(crate) retry_budget: Arc<dyn Budget + Send + Sync>,
    /// What is known about the names among its endpoints.
    pub(super) addresses: Arc<Addresses>,
    /// Which engine keeps what clients can ask for later.
    pub(crate) homes: Arc<Homes>,
}

/// Of hosts in lower case, the addresses in their order, each once. None is empty.
pub(super) type Addresses = BTreeMap<Box<str>, Arc<[IpAddr]>>;

/// The rule of a request, as positions in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selection {
    name: Name,
    rule: u32,
    /// The position of the rule's only ModelServer, if that is known without a look at the rule.
    only: Option<u32>,
    pub(crate) lora: bool,
}

impl CompiledTable {
    /// The paths that may reach an engine beside those of the layer.
    pub(crate) fn paths(&self) -> Option<&ApiPaths> {
        self.config.get_paths()
    }

    /// What happens to requests that name no model.
    pub(crate) fn without_model(&self) -> Option<&WithoutModel> {
        self.config.get_without_model()
    }

    /// What requests without a model need and this table does not have.
    pub(crate) fn mistake_in(&self, what: &WithoutModel) -> Option<MistakeKind> {
        what.mistake(
            |model| self.has_name(model),
            |route| !self.routes.routes_named(route).is_empty(),
        )
    }

    pub(crate) fn requested(&self, selection: Selection) -> &str {
        self.routes.names.text(selection.name)
    }

    /// Whether it has this name, of a model or of an adapter.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.routes.names.has(name)
    }

    pub(crate) fn route_name(&self, selection: Selection) -> &str {
        self.route_of(self.rule(selection))
    }

    pub(super) fn route_of(&self, rule: &CompiledRule) -> &str {
        &self.routes.route_names[rule.route as usize]
    }

    pub(crate) fn rule(&self, selection: Selection) -> &CompiledRule {
        &self.routes.rules[selection.rule as usize]
    }

    pub(crate) fn server(&self, selection: Selection, target: u32) -> &Arc<Server> {
        self.target(self.rule(selection), target as usize)
    }

    pub(super) fn endpoint(&self, uri: &str) -> Option<Arc<Endpoint>> {
        let mut all = self.servers.iter().flat_map(|server| &server.endpoints);
        all.find(|endpoint| **endpoint.uri() == *uri).cloned()
    }

    /// Each once, with the first of the ModelServers that share it.
    pub(crate) fn endpoints(&self) -> Vec<(Arc<Endpoint>, Arc<Server>)> {
        let mut seen = HashSet::new();
        let all = self.servers.iter().flat_map(|server| {
            let endpoints = server.endpoints.iter();
            endpoints.map(move |endpoint| (Arc::clone(endpoint), Arc::clone(server)))
        });
        all.filter(|(endpoint, _)| seen.insert(Arc::as_ptr(endpoint)))
            .collect()
    }

    /// What requests by this rule need of their bodies, beside the model.
    pub(crate) fn needed_by(&self, rule: &CompiledRule) -> NeededKeys {
        let tokens = NeededKeys {
            tokens: self.limits_tokens_by(rule),
            ..NeededKeys::default()
        };
        if self.needed_keys.is_none() {
            return tokens;
        }
        let targets = rule.all().map(|target| self.target(rule, target));
        targets.fold(tokens, |needed, server| needed.and(server.needed_keys()))
    }

    /// Whether some ModelServer of this rule balances by tokens.
    pub(crate) fn weighs_tokens_by(&self, rule: &CompiledRule) -> bool {
        let mut targets = rule.all().map(|target| self.target(rule, target));
        self.needed_keys.tokens && targets.any(|server| server.needed_keys().tokens)
    }

    /// Whether more is read of some bodies than the model.
    pub(crate) fn reads_bodies(&self) -> bool {
        !self.needed_keys.is_none() || self.routes.limits_tokens || self.routes.counts_prompts
    }

    /// Whether a body in this coding goes to its engine as it is, whichever that is: unless something
    /// else than the ModelServer has it changed.
    pub(crate) fn passes_on(&self, encoding: Encoding) -> bool {
        let passes_on = |server: &Arc<Server>| {
            server.model.is_none() && server.accepts_encodings.contains(&encoding)
        };
        self.servers.iter().all(passes_on)
    }

    /// Whether the choice of an endpoint for this model may depend on a key in the body, or what
    /// its requests take of a limit on tokens.
    pub(crate) fn reads_body_of(&self, model: &str) -> bool {
        if !self.reads_bodies() {
            return false;
        }
        let reads = |&rule: &u32| {
            let rule = &self.routes.rules[rule as usize];
            !self.needed_by(rule).is_none() || rule.counts_prompts()
        };
        [Kind::Model, Kind::Adapter]
            .into_iter()
            .filter_map(|kind| self.routes.names.get(kind, model))
            .any(|entry| self.routes.find_rule(entry, reads).is_some())
    }

    /// Whether requests by this rule are limited in their tokens.
    pub(crate) fn limits_tokens_by(&self, rule: &CompiledRule) -> bool {
        let mut limits = self.limits_by(rule).iter();
        self.routes.limits_tokens && limits.any(|limit| limit.is_of_tokens())
    }

    /// The limits of the route of this rule.
    pub(crate) fn limits_by(&self, rule: &CompiledRule) -> &[Arc<LiveLimit>] {
        self.limits_of(rule.route as usize)
    }

    pub(super) fn limits_of(&self, route: usize) -> &[Arc<LiveLimit>] {
        let limits = self.routes.limits.get(route);
        limits.map_or(&[], |limits| limits)
    }

    /// The ModelServer by which a request to this rule is estimated: that of the heaviest target.
    pub(crate) fn main_server(&self, rule: &CompiledRule) -> &Arc<Server> {
        self.target(rule, rule.by_weight().next().unwrap_or(0))
    }

    /// Whether some ModelServer of this rule has usage asked for in the client's stead.
    pub(crate) fn forces_usage(&self, rule: &CompiledRule) -> bool {
        let mut targets = rule.all().map(|target| self.target(rule, target));
        targets.any(|server| server.policy.get_force_usage())
    }

    /// The first rule that matches, by model name, then by adapter name; an error calls the
    /// model as it is `shown` to the client. `tokens` is about how many the prompt has, if that is
    /// known; see [`counts_prompts`](Self::counts_prompts).
    pub(crate) fn select(
        &self,
        head: &Parts,
        (model, shown): (&str, &str),
        tokens: Option<u64>,
    ) -> Result<Selection, RouteError> {
        let request = RequestView::new(head, model, tokens);
        let by_model = self.routes.names.get(Kind::Model, model);
        if let Some(found) = by_model.and_then(|entry| self.first_match(entry, &request)) {
            return Ok(found);
        }
        let by_adapter = self.routes.names.get(Kind::Adapter, model);
        let found = by_adapter.and_then(|entry| self.first_match(entry, &request));
        match found {
            Some(found) => Ok(Selection {
                lora: true,
                ..found
            }),
            None if by_model.or(by_adapter).is_some() => Err(RouteError::route_not_found(shown)),
            None => Err(RouteError::model_not_found(shown)),
        }
    }

    /// The first rule that matches of the routes of this name, for a request without a model.
    pub(crate) fn select_route(
        &self,
        head: &Parts,
        route: &str,
        tokens: Option<u64>,
    ) -> Result<Selection, RouteError> {
        let request = RequestView::new(head, "", tokens);
        let routes = self.routes.routes_named(route);
        let mut rules = routes.iter().flat_map(|&route| self.routes.rules_of(route));
        let matching = rules.find(|&rule| self.routes.rules[rule as usize].matches(&request));
        let found = matching.and_then(|rule| {
            let name = self.name_of(self.routes.rules[rule as usize].route)?;
            Some(Selection {
                name,
                rule,
                only: None,
                lora: false,
            })
        });
        found.ok_or_else(|| {
            let route = Excerpt(route);
            let message = match routes {
                [] => format!(
                    "requests that name no model go to the ModelRoute `{route}`, which does not exist"
                ),
                _ => format!(
                    "the request names no model, and no rule of the ModelRoute `{route}` matches it"
                ),
            };
            RouteError::new(RouteErrorKind::RouteNotFound, message)
        })
    }

    /// The name of a route's model, or else of its first adapter.
    fn name_of(&self, route: u32) -> Option<Name> {
        let route = self.config.get_model_routes().get(route as usize)?;
        let entry = match route.get_model_name() {
            Some(model) => self.routes.names.get(Kind::Model, model),
            None => {
                let adapter = route.get_lora_adapters().first()?;
                self.routes.names.get(Kind::Adapter, adapter)
            }
        };
        Some(entry?.name)
    }

    /// The first of the entry's rules that matches; `lora` is not set.
    #[inline]
    fn first_match(&self, entry: &Entry, request: &RequestView<'_>) -> Option<Selection> {
        let matches = |&rule: &u32| self.routes.rules[rule as usize].matches(request);
        let (rule, only) = match entry.rules {
            Run::One { rule, server } => (rule, Some(server)),
            _ => (self.routes.find_rule(entry, matches)?, None),
        };
        Some(Selection {
            name: entry.name,
            rule,
            only,
            lora: false,
        })
    }

    /// The position of a target's ModelServer.
    pub(super) fn server_at(&self, selection: Selection, target: u32) -> u32 {
        let only = selection.only;
        only.unwrap_or_else(|| self.rule(selection).server(target as usize))
    }

    /// The rule's ModelServer, if it has only one.
    pub(super) fn only_server(&self, selection: Selection) -> Option<&Arc<Server>> {
        self.servers.get(selection.only? as usize)
    }

    /// Whether sessions of this rule's ModelServers may be known elsewhere.
    pub(crate) fn shares_sessions(&self, selection: Selection) -> bool {
        let rule = self.rule(selection);
        let mut targets = rule.all().map(|target| self.target(rule, target));
        targets.any(|server| server.shares_sessions())
    }

    /// The sessions of this request that are not known here and may be elsewhere.
    pub(crate) fn unknown_sessions(
        &self,
        selection: Selection,
        caller: Caller<'_>,
    ) -> Vec<Unknown> {
        let rule = self.rule(selection);
        let targets = rule.all().map(|target| self.target(rule, target));
        targets
            .filter_map(|server| server.unknown_session(caller))
            .collect()
    }

    /// Whether a request to `server` could be sent again without a retry: to another endpoint, or to
    /// the same one that has not processed it. Only HTTP/2 says so, which few speak without TLS, and
    /// to keep every request for those would be dear.
    pub(crate) fn has_another_way(&self, selection: Selection, server: &Server) -> bool {
        let has_siblings = matches!(self.rule(selection).targets, Targets::Split(_));
        let is_https = |endpoint: &Arc<Endpoint>| endpoint.address.scheme == Scheme::HTTPS;
        has_siblings || server.endpoints.len() > 1 || server.endpoints.iter().any(is_https)
    }
}
