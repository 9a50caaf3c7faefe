//! The configuration of a table as a whole.

use std::{fmt, sync::Arc};

use hashbrown::HashMap;
use tower::retry::budget::Budget;

use super::{
    engine_state::EngineState, model_route::ModelRoute, model_server::ModelServer, paths::ApiPaths,
    without_model::WithoutModel,
};

/// Collects ModelServers and ModelRoutes; made by [`RouteTable::builder`](crate::RouteTable::builder).
///
/// Two are equal if all that they hold is, and their retry budget is one and the same.
/// With the feature `serde` it is `Serialize`, without the retry budget.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[must_use]
pub struct RouteTableBuilder {
    model_servers: Vec<ModelServer>,
    /// Shared by tables whose routes are the same.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::serial::shared"))]
    model_routes: Arc<Vec<ModelRoute>>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    paths: Option<ApiPaths>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    without_model: Option<WithoutModel>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    engine_state: Option<EngineState>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    zone: Option<String>,
    #[cfg_attr(feature = "serde", serde(skip))]
    retry_budget: Option<SharedBudget>,
}

#[derive(Clone)]
struct SharedBudget(Arc<dyn Budget + Send + Sync>);

impl PartialEq for SharedBudget {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for SharedBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Budget")
    }
}

impl RouteTableBuilder {
    /// Adds a ModelServer.
    pub fn model_server(mut self, server: ModelServer) -> Self {
        self.model_servers.push(server);
        self
    }

    /// Adds a ModelRoute; routes that share a name are tried in the order in which they
    /// were added.
    pub fn model_route(mut self, route: ModelRoute) -> Self {
        self.model_routes_mut().push(route);
        self
    }

    /// Paths that may reach an engine in addition to those that the layer lets
    /// through ([`ModelRouteLayer::paths`](crate::ModelRouteLayer::paths)); none by
    /// default.
    ///
    /// This is the place for paths that a rule names exactly:
    /// [`build`](Self::build) refuses a rule for a path that is neither here nor
    /// on the [standard list](ApiPaths::standard), because it could never match.
    pub fn paths(mut self, paths: ApiPaths) -> Self {
        self.paths = Some(paths);
        self
    }

    /// What happens to requests that name no model; by default they are rejected.
    ///
    /// A layer's own setting
    /// ([`ModelRouteLayer::without_model`](crate::ModelRouteLayer::without_model)) overrides
    /// this one. [`build`](Self::build) refuses a model or a ModelRoute that the table does not
    /// have.
    pub fn without_model(mut self, what: WithoutModel) -> Self {
        self.without_model = Some(what);
        self
    }

    /// How long the gateway remembers which engine keeps a response, a file or a
    /// batch.
    ///
    /// A reload may change this; what is already known is kept.
    pub fn engine_state(mut self, state: EngineState) -> Self {
        self.engine_state = Some(state);
        self
    }

    /// The zone that the gateway is in, such as `eu-1a`: by default none.
    ///
    /// ModelServers may [prefer](crate::TrafficPolicy::prefer_zone) it.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Limits the retries of all requests together; by default tower's `TpsBudget::default()`.
    ///
    /// The default allows ten retries a second, plus one for every five
    /// successful requests, over ten seconds. The budget keeps retries from
    /// doubling the load during an outage. It is consulted only for requests
    /// that may be retried at all.
    pub fn retry_budget(mut self, budget: impl Budget + Send + Sync + 'static) -> Self {
        self.retry_budget = Some(SharedBudget(Arc::new(budget)));
        self
    }

    /// The ModelServers, in the order in which they were added.
    pub fn get_model_servers(&self) -> &[ModelServer] {
        &self.model_servers
    }

    /// The ModelRoutes, in the order in which they were added.
    pub fn get_model_routes(&self) -> &[ModelRoute] {
        &self.model_routes
    }

    /// The paths that were added, if any.
    pub fn get_paths(&self) -> Option<&ApiPaths> {
        self.paths.as_ref()
    }

    /// What happens to requests that name no model, if it was set.
    pub fn get_without_model(&self) -> Option<&WithoutModel> {
        self.without_model.as_ref()
    }

    /// How long the gateway remembers which engine keeps what, if it was set.
    pub fn get_engine_state(&self) -> Option<&EngineState> {
        self.engine_state.as_ref()
    }

    /// The ModelServers, to change, remove or reorder them, as in
    /// [`RouteTableHandle::update`](crate::RouteTableHandle::update).
    pub fn model_servers_mut(&mut self) -> &mut Vec<ModelServer> {
        &mut self.model_servers
    }

    /// The ModelRoutes, to change, remove or reorder them.
    pub fn model_routes_mut(&mut self) -> &mut Vec<ModelRoute> {
        Arc::make_mut(&mut self.model_routes)
    }

    /// The zone that the gateway is in, if it was set.
    pub fn get_zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// Makes what is equal in `last` that of `last`, so that it is in memory once.
    pub(crate) fn share(&mut self, last: &Self) {
        if self.model_routes == last.model_routes {
            self.model_routes = Arc::clone(&last.model_routes);
        }
        let known = last.model_servers.iter();
        let known: HashMap<_, _> = known.map(|server| (server.get_name(), server)).collect();
        for server in &mut self.model_servers {
            if let Some(known) = known.get(server.get_name())
                && *known == server
            {
                *server = ModelServer::clone(known);
            }
        }
    }

    /// Whether the routes are equal to those of `other`; at once where they are shared.
    pub(crate) fn has_routes_of(&self, other: &Self) -> bool {
        self.model_routes == other.model_routes
    }

    /// The retry budget, if it is not the default.
    pub(crate) fn shared_budget(&self) -> Option<Arc<dyn Budget + Send + Sync>> {
        self.retry_budget
            .as_ref()
            .map(|budget| Arc::clone(&budget.0))
    }
}
