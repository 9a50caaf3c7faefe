//! Where a request goes, and why.

use std::{fmt, sync::Arc};

use http::{HeaderName, HeaderValue, request::Parts};
use tower::retry::budget::Budget;

use super::{
    choose::{Chosen, Further, Unavailable},
    names::index,
    naming::Naming,
    table::{CompiledTable, RouteTable, Selection},
};
use crate::{
    config::{Address, Encoding, TrafficPolicy},
    error::RouteError,
    limit::Estimate,
    model::{BodyKeys, ExtractedModel},
    server::{Caller, Homes, Lease, RealModel, Server, Wanted},
};

/// Where a request went and by which rule; found in the extensions of the response.
///
/// Layers below the [`ModelRouteLayer`](crate::ModelRouteLayer) get it from
/// [`RouteBody::decision`](crate::RouteBody::decision).
///
/// It keeps the table that it was made from, so it stays valid after a reload.
///
/// ```
/// use tower_model_route::RouteDecision;
///
/// fn log<B>(response: &http::Response<B>) {
///     if let Some(decision) = response.extensions().get::<RouteDecision>() {
///         println!("{} -> {}", decision.requested_model(), decision.endpoint());
///     }
/// }
/// # let _ = log::<()>;
/// ```
#[derive(Clone)]
pub struct RouteDecision {
    table: Arc<CompiledTable>,
    selection: Selection,
    target: u32,
    /// The position of the target's ModelServer in the table.
    server: u32,
    /// The ModelServer where it is that of a newer table: after a wait it may be.
    newer: Option<Arc<Server>>,
    endpoint: u32,
    attempts: u32,
    /// The names of the model, where it isn't routed by the client's.
    naming: Option<Arc<Naming>>,
}

impl RouteDecision {
    pub(crate) fn new(
        table: Arc<CompiledTable>,
        selection: Selection,
        target: u32,
        endpoint: usize,
    ) -> Self {
        Self {
            server: table.server_at(selection, target),
            table,
            selection,
            target,
            newer: None,
            endpoint: index(endpoint),
            attempts: 1,
            naming: None,
        }
    }

    /// That a lease of this target is for.
    pub(crate) fn leased(
        table: Arc<CompiledTable>,
        selection: Selection,
        target: u32,
        lease: &Lease,
    ) -> Self {
        Self::new(table, selection, target, lease.position()).of(lease.server())
    }

    /// The same with this ModelServer, which is counted once more only if it is not the table's.
    fn of(self, server: &Arc<Server>) -> Self {
        let is_own = std::ptr::eq(&**server, &*self.table.servers[self.server as usize]);
        let newer = (!is_own).then(|| Arc::clone(server));
        Self { newer, ..self }
    }

    /// The same for a request that asks for this model.
    pub(crate) fn named(self, model: &ExtractedModel) -> Self {
        let naming = Naming::of(model);
        Self { naming, ..self }
    }

    /// The decision of the next attempt.
    pub(crate) fn again(&self, target: u32, lease: &Lease) -> Self {
        let next = Self {
            target,
            server: self.table.server_at(self.selection, target),
            endpoint: index(lease.position()),
            attempts: self.attempts.saturating_add(1),
            ..self.clone()
        };
        next.of(lease.server())
    }

    /// The decision of the final attempt, after `attempts` attempts.
    pub(crate) fn after(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// Where the request can be retried, given the endpoints already `tried`.
    pub(crate) fn choose_next(
        &self,
        to: Further,
        caller: Caller<'_>,
        tried: &[Arc<str>],
    ) -> Result<Chosen, Unavailable> {
        let rule = self.table.rule(self.selection);
        self.table
            .choose_next(rule, (self.target, to), &caller, tried)
    }

    /// A healthy endpoint that is not among the `tried` and has room.
    pub(crate) fn choose_healthy(&self, caller: Caller<'_>, tried: &[Arc<str>]) -> Option<Chosen> {
        let rule = self.table.rule(self.selection);
        self.table.choose_healthy(rule, self.target, &caller, tried)
    }

    /// The endpoint of this decision once more, unless it is full.
    pub(crate) fn lease_again(&self, caller: Caller<'_>) -> Option<Chosen> {
        let position = self.endpoint as usize;
        let server = self.shared_server();
        let state = server.endpoints.get(position)?.health.state();
        Some((
            self.target,
            Lease::new(server, position, state, &server.ask(&caller))?,
        ))
    }

    /// The ModelServer that [`choose_next`](Self::choose_next) would pick an endpoint of.
    pub(crate) fn next_server(&self, to: Further, tried: &[Arc<str>]) -> Option<Arc<Server>> {
        let rule = self.table.rule(self.selection);
        let after = (self.target, to);
        self.table.next_server(rule, after, self.wanted(), tried)
    }

    /// The model that engines are asked for, as the choice of one sees it.
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        match &self.naming {
            None => Wanted::named(self.model(), self.selection.lora),
            Some(naming) => naming.wanted(self.selection.lora),
        }
    }

    pub(crate) fn policy(&self) -> &TrafficPolicy {
        &self.server().policy
    }

    /// Whether an attempt by this rule may ask for usage in the client's stead.
    pub(crate) fn may_force_usage(&self) -> bool {
        let rule = self.table.rule(self.selection);
        self.policy().get_force_usage() || self.table.forces_usage(rule)
    }

    /// Counts the request among those of its target.
    pub(crate) fn count(&self) {
        self.table.rule(self.selection).picks.add(self.target());
    }

    pub(crate) fn retry_budget(&self) -> &dyn Budget {
        &*self.table.retry_budget
    }

    /// The model name that the client asked for, unescaped; empty if it named none.
    pub fn requested_model(&self) -> &str {
        match &self.naming {
            Some(naming) => &naming.asked,
            None => self.model(),
        }
    }

    /// The model name by which the request was routed.
    ///
    /// This is what the client asked for, unless an extractor mapped it
    /// ([`map_name`](crate::ExtractModel::map_name)). If the client named none, it is the
    /// [default](crate::Extraction::or_model), or what [`WithoutModel`](crate::WithoutModel)
    /// says; for [`WithoutModel::Route`](crate::WithoutModel::Route), the route's model name or
    /// its first adapter.
    pub fn model(&self) -> &str {
        self.table.requested(self.selection)
    }

    /// The model name that the engine gets.
    ///
    /// If the request names none, or names it in a place that the extractor does not know,
    /// nothing is rewritten, and this is the [`requested_model`](Self::requested_model).
    pub fn engine_model(&self) -> &str {
        self.rewrite()
            .map_or(self.requested_model(), |model| &model.name)
    }

    /// What the engine calls the model as far as the table says it: no name that only the client
    /// knows.
    #[cfg(feature = "metrics")]
    pub(crate) fn known_engine_model(&self) -> &str {
        let real = self.server().real_model(self.selection.lora);
        real.map_or(self.model(), |real| &real.name)
    }

    /// The name of the [`ModelRoute`](crate::ModelRoute).
    pub fn route(&self) -> &str {
        self.table.route_name(self.selection)
    }

    /// The name of the [`Rule`](crate::Rule).
    pub fn rule(&self) -> &str {
        &self.table.rule(self.selection).name
    }

    /// The position of the target among those of the rule, from 0; the fallbacks come last.
    pub fn target(&self) -> usize {
        self.target as usize
    }

    /// Whether the target is a [`fallback`](crate::Rule::fallback) of the rule.
    pub fn is_fallback(&self) -> bool {
        self.target() >= self.table.rule(self.selection).own_targets()
    }

    /// The name of the [`ModelServer`](crate::ModelServer).
    pub fn model_server(&self) -> &str {
        &self.server().name
    }

    /// The endpoint: scheme, authority without a default port, path prefix.
    pub fn endpoint(&self) -> &str {
        self.server().endpoints[self.endpoint as usize].uri()
    }

    /// The endpoint's [name](crate::Endpoint::name) for people, such as that of
    /// its Pod, if it has one.
    pub fn endpoint_name(&self) -> Option<&str> {
        self.server().endpoints[self.endpoint as usize].name()
    }

    /// Whether the route was found by a LoRA adapter's name; then the model is not rewritten.
    pub fn is_lora(&self) -> bool {
        self.selection.lora
    }

    /// The number of attempts so far, including the first.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The name that replaces the client's, if it differs.
    pub(crate) fn rewrite(&self) -> Option<&RealModel> {
        match &self.naming {
            None => self.server().rewrite(self.model(), self.selection.lora),
            Some(naming) => naming.rewrite(self.server().real_model(self.selection.lora)),
        }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.server().endpoints[self.endpoint as usize].address
    }

    pub(super) fn shared_model(&self) -> Arc<str> {
        self.model().into()
    }

    /// Which engine keeps what.
    pub(crate) fn homes(&self) -> &Arc<Homes> {
        &self.table.homes
    }

    pub(crate) fn shared_endpoint(&self) -> Arc<str> {
        Arc::clone(self.server().endpoints[self.endpoint as usize].uri())
    }

    /// The headers that the engine gets in place of the client's fields of these names.
    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.server().headers
    }

    /// Whether the engine reads bodies in this coding.
    pub(crate) fn accepts(&self, encoding: Encoding) -> bool {
        self.server().accepts_encodings.contains(&encoding)
    }

    /// The names of the headers that some attempt may set.
    pub(crate) fn all_headers(&self) -> &[HeaderName] {
        &self.table.engine_headers
    }

    pub(crate) fn server(&self) -> &Server {
        self.shared_server()
    }

    pub(crate) fn shared_server(&self) -> &Arc<Server> {
        let newer = self.newer.as_ref();
        newer.unwrap_or_else(|| &self.table.servers[self.server as usize])
    }

    /// The ModelServer of one of the rule's targets.
    pub(crate) fn server_of(&self, target: u32) -> &Arc<Server> {
        self.table.server(self.selection, target)
    }
}

impl RouteTable {
    /// Decides where a request with this head that asks for `model` goes.
    ///
    /// This is what the layer does, without sending anything: it takes a turn in
    /// the rule's split and in the endpoints' rotation, but the request does not
    /// count as in flight. The cost does not depend on the number of routes.
    /// [`explain`](Self::explain) shows the reasons, without taking a turn.
    ///
    /// # Errors
    ///
    /// 404 if no route has the model or no rule matches; 503 if no target of
    /// the rule, fallbacks included, has an endpoint, or if all are full.
    pub fn decide(&self, head: &Parts, model: &str) -> Result<RouteDecision, RouteError> {
        let table = self.compiled();
        let selection = table.select(head, (model, model), None)?;
        let caller = Caller {
            uri: &head.uri,
            headers: &head.headers,
            extensions: &head.extensions,
            body: BodyKeys::NONE,
            estimate: Estimate::default(),
            model: Wanted::named(model, selection.lora),
        };
        let chosen = table.choose(selection, &caller, |_, position, _, _| Some(position));
        let (target, endpoint) =
            chosen.map_err(|unavailable| RouteError::unavailable(model, &unavailable))?;
        let table = Arc::clone(table);
        Ok(RouteDecision::new(table, selection, target, endpoint))
    }
}

impl fmt::Debug for RouteDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteDecision")
            .field("requested_model", &self.requested_model())
            .field("model", &self.model())
            .field("engine_model", &self.engine_model())
            .field("route", &self.route())
            .field("rule", &self.rule())
            .field("target", &self.target())
            .field("model_server", &self.model_server())
            .field("endpoint", &self.endpoint())
            .field("endpoint_name", &self.endpoint_name())
            .field("lora", &self.is_lora())
            .field("attempts", &self.attempts())
            .finish()
    }
}
