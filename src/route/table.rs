//! The table that requests are routed by, and the decision.

use std::{
    borrow::Cow,
    cell::OnceCell,
    collections::{BTreeMap, HashSet},
    fmt,
    net::IpAddr,
    ops::Range,
    sync::{Arc, OnceLock},
};

use hashbrown::HashMap;
use http::{HeaderName, header::HOST, request::Parts};
use percent_encoding::percent_decode_str;
use tower::retry::budget::Budget;

use super::{matcher::Matcher, models::ModelList, picks::Picks, split::Split};
use crate::{
    config::{ApiPaths, MistakeKind, RouteTableBuilder, WithoutModel},
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
            .field("routes", &self.0.route_names.len())
            .field("servers", &self.0.servers.len())
            .finish_non_exhaustive()
    }
}

/// The compiled table. The rules of a route are adjacent, so a name leads
/// straight to the slice of its rules.
///
/// A clone shares the live parts: the ModelServers and the splits.
#[derive(Clone)]
pub(crate) struct CompiledTable {
    pub(super) rules: Box<[CompiledRule]>,
    pub(super) route_names: Box<[Arc<str>]>,
    /// The limits of each route.
    pub(super) limits: Box<[Box<[Arc<LiveLimit>]>]>,
    /// Whether some route has a limit on tokens.
    pub(super) limits_tokens: bool,
    /// Whether the choice of a rule may depend on the tokens of a prompt.
    pub(crate) counts_prompts: bool,
    /// The routes' positions in the order of their names, once they are needed.
    pub(super) by_name: OnceLock<Box<[u32]>>,
    pub(crate) servers: Box<[Arc<Server>]>,
    /// For names that several routes share: the runs of their rules.
    pub(super) shared: Box<[Vec<Range<u32>>]>,
    /// The names in `by_model` and `by_adapter`.
    pub(super) names: Box<[Arc<str>]>,
    pub(super) by_model: Names,
    pub(super) by_adapter: Names,
    pub(crate) models: ModelList,
    /// The keys in a request's body that the choice of an endpoint needs.
    pub(crate) needed_keys: NeededKeys,
    /// The headers that some ModelServer sends to its engines.
    pub(super) engine_headers: Box<[HeaderName]>,
    /// The retry budget, shared by all requests.
    pub(crate) retry_budget: Arc<dyn Budget + Send + Sync>,
    /// What is known of the names among its endpoints.
    pub(super) addresses: Arc<Addresses>,
    /// Which engine keeps what clients can ask for later.
    pub(crate) homes: Arc<Homes>,
    /// The configuration that it was built from.
    pub(super) config: Arc<RouteTableBuilder>,
}

/// The entry for a model's or an adapter's name.
pub(super) type Names = HashMap<Arc<str>, Entry>;

/// Of hosts in lower case, the addresses in their order, each once. None is empty.
pub(super) type Addresses = BTreeMap<Box<str>, Arc<[IpAddr]>>;

/// Together with its key it takes half a cache line: with many routes, what a
/// look-up costs is the lines that it touches.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The name's own position in [`CompiledTable::names`].
    pub(super) name: u32,
    pub(super) rules: Run,
}

/// Where the rules of a name's routes are stored, in the order of the routes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Run {
    /// In [`CompiledTable::rules`], from the first up to the second: the name has one route.
    Rules(u32, u32),
    /// A position in [`CompiledTable::shared`]: several routes share the name.
    Shared(u32),
}

/// A [`Rule`](crate::Rule) with its names resolved, in one cache line.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct CompiledRule {
    pub(crate) name: Arc<str>,
    pub(super) route: u32,
    pub(super) conditions: Box<[CompiledCondition]>,
    pub(super) targets: Targets,
    pub(crate) picks: Arc<Picks>,
}

#[derive(Clone, Debug)]
pub(super) enum CompiledCondition {
    Header(HeaderName, Matcher),
    Uri(Matcher),
    BodyModel(Box<str>),
    PromptTokens { min: u64, max: u64 },
}

/// The targets of a rule.
#[derive(Clone, Debug)]
pub(super) enum Targets {
    /// To one ModelServer, by its position in [`CompiledTable::servers`].
    One(u32),
    Split(Box<SplitTargets>),
}

#[derive(Clone, Debug)]
pub(super) struct SplitTargets {
    /// Positions in [`CompiledTable::servers`]: the targets' and then the fallbacks'.
    pub(super) servers: Box<[u32]>,
    /// The weighted split of the targets.
    pub(super) split: Arc<Split>,
    /// The targets, the heaviest first, and then the fallbacks.
    pub(super) order: Box<[u32]>,
}

/// The rule of a request, as positions in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selection {
    name: u32,
    rule: u32,
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
        let names = [&self.by_model, &self.by_adapter];
        what.mistake(
            |model| names.iter().any(|names| names.contains_key(model)),
            |route| !self.routes_named(route).is_empty(),
        )
    }

    pub(crate) fn requested(&self, selection: Selection) -> &str {
        &self.names[selection.name as usize]
    }

    pub(super) fn shared_name(&self, selection: Selection) -> Arc<str> {
        Arc::clone(&self.names[selection.name as usize])
    }

    /// Whether it has this name, of a model or of an adapter.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.by_model.contains_key(name) || self.by_adapter.contains_key(name)
    }

    pub(crate) fn route_name(&self, selection: Selection) -> &str {
        self.route_of(self.rule(selection))
    }

    pub(super) fn route_of(&self, rule: &CompiledRule) -> &str {
        &self.route_names[rule.route as usize]
    }

    pub(crate) fn rule(&self, selection: Selection) -> &CompiledRule {
        &self.rules[selection.rule as usize]
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

    /// Whether the choice of an endpoint for this model may depend on a key in the body, or what
    /// its requests take of a limit on tokens.
    pub(crate) fn reads_body_of(&self, model: &str) -> bool {
        if self.needed_keys.is_none() && !self.limits_tokens && !self.counts_prompts {
            return false;
        }
        let reads = |&rule: &u32| {
            let rule = &self.rules[rule as usize];
            !self.needed_by(rule).is_none() || rule.counts_prompts()
        };
        [&self.by_model, &self.by_adapter]
            .into_iter()
            .filter_map(|names| names.get(model))
            .any(|entry| self.find_rule(entry, reads).is_some())
    }

    /// Whether requests by this rule are limited in their tokens.
    pub(crate) fn limits_tokens_by(&self, rule: &CompiledRule) -> bool {
        self.limits_tokens && self.limits_by(rule).iter().any(LiveLimit::is_of_tokens)
    }

    /// The limits of the route of this rule.
    pub(crate) fn limits_by(&self, rule: &CompiledRule) -> &[Arc<LiveLimit>] {
        self.limits
            .get(rule.route as usize)
            .map_or(&[], |limits| limits)
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
        let by_model = self.by_model.get(model);
        let found = by_model.and_then(|entry| self.first_match(entry, &request));
        let (name, rule, lora) = match found {
            Some((name, rule)) => (name, rule, false),
            None => {
                let by_adapter = self.by_adapter.get(model);
                let (name, rule) = by_adapter
                    .and_then(|entry| self.first_match(entry, &request))
                    .ok_or_else(|| match by_model.or(by_adapter) {
                        Some(_) => RouteError::route_not_found(shown),
                        None => RouteError::model_not_found(shown),
                    })?;
                (name, rule, true)
            }
        };
        Ok(Selection { name, rule, lora })
    }

    /// The first rule that matches of the routes of this name, for a request without a model.
    pub(crate) fn select_route(
        &self,
        head: &Parts,
        route: &str,
        tokens: Option<u64>,
    ) -> Result<Selection, RouteError> {
        let request = RequestView::new(head, "", tokens);
        let routes = self.routes_named(route);
        let mut rules = routes.iter().flat_map(|&route| self.rules_of(route));
        let matching = rules.find(|&rule| self.rules[rule as usize].matches(&request));
        let found = matching.and_then(|rule| {
            let name = self.name_of(self.rules[rule as usize].route)?;
            Some(Selection {
                name,
                rule,
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

    /// The positions of the routes of this name, in order.
    pub(super) fn routes_named(&self, name: &str) -> &[u32] {
        let by_name = self.by_name.get_or_init(|| {
            let mut routes: Box<[u32]> = (0..index(self.route_names.len())).collect();
            routes.sort_by_key(|&route| &*self.route_names[route as usize]);
            routes
        });
        let of = |route: &u32| &*self.route_names[*route as usize];
        let start = by_name.partition_point(|route| of(route) < name);
        let len = by_name[start..].partition_point(|route| of(route) == name);
        &by_name[start..start + len]
    }

    /// The positions of a route's rules.
    pub(super) fn rules_of(&self, route: u32) -> Range<u32> {
        let start = self.rules.partition_point(|rule| rule.route < route);
        let len = self.rules[start..].partition_point(|rule| rule.route == route);
        index(start)..index(start + len)
    }

    /// The name of a route's model, or else of its first adapter.
    fn name_of(&self, route: u32) -> Option<u32> {
        let route = self.config.get_model_routes().get(route as usize)?;
        let entry = match route.get_model_name() {
            Some(model) => self.by_model.get(model),
            None => self.by_adapter.get(&**route.get_lora_adapters().first()?),
        };
        Some(entry?.name)
    }

    /// The entry's name and the first of its rules that matches.
    fn first_match(&self, entry: &Entry, request: &RequestView<'_>) -> Option<(u32, u32)> {
        let matches = |&rule: &u32| self.rules[rule as usize].matches(request);
        let rule = self.find_rule(entry, matches)?;
        Some((entry.name, rule))
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

    /// Whether a request to `server` could also be sent to another endpoint.
    pub(crate) fn has_elsewhere(&self, selection: Selection, server: &Server) -> bool {
        let has_siblings = matches!(self.rule(selection).targets, Targets::Split(_));
        has_siblings || server.endpoints.len() > 1
    }

    /// The first of the entry's rules for which `is` holds.
    fn find_rule(&self, entry: &Entry, is: impl Fn(&u32) -> bool) -> Option<u32> {
        match entry.rules {
            Run::Rules(start, end) => (start..end).find(is),
            Run::Shared(shared) => self.shared[shared as usize]
                .iter()
                .cloned()
                .flatten()
                .find(is),
        }
    }
}

/// Positions in a table are 32 bits wide; more would not fit into memory.
pub(crate) fn index(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

impl Targets {
    /// In a table that is never used, because its mistakes are reported instead.
    pub(super) const NONE: Self = Self::One(0);
}

impl CompiledRule {
    /// The position of a target's ModelServer.
    pub(super) fn server(&self, target: usize) -> u32 {
        match &self.targets {
            Targets::One(server) => *server,
            Targets::Split(targets) => targets.servers[target],
        }
    }

    /// The number of targets that are not fallbacks.
    pub(crate) fn own_targets(&self) -> usize {
        match &self.targets {
            Targets::One(_) => 1,
            Targets::Split(targets) => targets.split.targets(),
        }
    }

    /// The positions of all targets.
    pub(super) fn all(&self) -> Range<usize> {
        match &self.targets {
            Targets::One(_) => 0..1,
            Targets::Split(targets) => 0..targets.servers.len(),
        }
    }

    pub(super) fn fallbacks(&self) -> Range<usize> {
        self.own_targets()..self.all().end
    }

    /// The positions of all targets: the heaviest first, the fallbacks last.
    fn by_weight(&self) -> impl Iterator<Item = usize> {
        let order: &[u32] = match &self.targets {
            Targets::One(_) => &[0],
            Targets::Split(targets) => &targets.order,
        };
        order.iter().map(|&target| target as usize)
    }

    /// The positions of all targets, in the order in which a request that was
    /// sent to `current` tries them.
    pub(super) fn starting_at(&self, current: u32) -> impl Iterator<Item = usize> {
        let current = current as usize;
        let others = self.by_weight().filter(move |&target| target != current);
        std::iter::once(current).chain(others)
    }

    /// Whether a condition depends on the tokens of a prompt.
    pub(super) fn counts_prompts(&self) -> bool {
        let is = |condition: &_| matches!(condition, CompiledCondition::PromptTokens { .. });
        self.conditions.iter().any(is)
    }

    fn matches(&self, request: &RequestView<'_>) -> bool {
        self.conditions
            .iter()
            .all(|condition| condition.holds(request))
    }
}

impl CompiledCondition {
    pub(super) fn holds(&self, request: &RequestView<'_>) -> bool {
        match self {
            Self::Header(name, value) => {
                request.values(name).any(|(found, _)| value.is_match(found))
            }
            Self::Uri(path) => path.is_match(request.path()),
            Self::BodyModel(model) => **model == *request.model,
            Self::PromptTokens { min, max } => request
                .tokens
                .is_some_and(|tokens| (min..=max).contains(&&tokens)),
        }
    }
}

/// The parts of a request that rules look at.
pub(super) struct RequestView<'a> {
    pub(super) head: &'a Parts,
    pub(super) model: &'a str,
    /// About how many tokens the prompt has, if that is known.
    pub(super) tokens: Option<u64>,
    path: OnceCell<Cow<'a, [u8]>>,
}

impl<'a> RequestView<'a> {
    pub(super) fn new(head: &'a Parts, model: &'a str, tokens: Option<u64>) -> Self {
        Self {
            head,
            model,
            tokens,
            path: OnceCell::new(),
        }
    }

    /// The values of a header, each with whether it is sensitive.
    ///
    /// `host` is the authority of the URI where that has one: in HTTP/2, and in HTTP/1.1's
    /// absolute form (RFC 9113 section 8.3.1, RFC 9112 section 3.2.2).
    pub(super) fn values(
        &self,
        name: &HeaderName,
    ) -> impl Iterator<Item = (&'a [u8], bool)> + use<'a> {
        let authority = self.head.uri.authority().filter(|_| *name == HOST);
        let fields = self.head.headers.get_all(name).iter();
        let fields = fields.filter(move |_| authority.is_none());
        let host = authority.map(|authority| {
            let host = authority.as_str();
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            (host.as_bytes(), false)
        });
        let fields = fields.map(|value| (value.as_bytes(), value.is_sensitive()));
        host.into_iter().chain(fields)
    }

    /// The path, percent-decoded when the first rule asks for it.
    pub(super) fn path(&self) -> &[u8] {
        self.path
            .get_or_init(|| percent_decode_str(self.head.uri.path()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hot_parts_keep_their_size() {
        assert_eq!(size_of::<(Arc<str>, Entry)>(), 32);
        assert_eq!(size_of::<CompiledRule>(), 64);
    }
}
