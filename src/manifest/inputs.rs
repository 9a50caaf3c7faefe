//! What a table is assembled from.

use std::{collections::BTreeMap, sync::Arc};

use super::{gateway::Gateway, read::resource::Resources, server_info::ServerInfo};
use crate::{
    config::{ApiPaths, Endpoint, Secret},
    route::RouteTable,
};

pub(super) type Resolver = dyn Fn(ServerInfo<'_>) -> Vec<String> + Send + Sync;

/// Resources that were read, and endpoints from elsewhere.
#[derive(Clone, Default)]
pub(super) struct Inputs {
    pub(super) resources: Resources,
    /// Endpoints that were given in code, by the full names of the ModelServers.
    pub(super) given: BTreeMap<String, Vec<Endpoint>>,
    /// What the program allows manifests to refer to.
    pub(super) keys: BTreeMap<String, String>,
    /// By the addresses of Redis.
    pub(super) redis_passwords: BTreeMap<String, Secret>,
    pub(super) resolver: Option<Arc<Resolver>>,
    /// The Gateway whose routes are served, or the given text if it names none.
    pub(super) gateway: Option<Result<Gateway, String>>,
    /// Whether each resource fails alone.
    pub(super) is_lenient: bool,
    /// Whether each address of a host name is an endpoint.
    pub(super) resolves_names: bool,
    /// The zone that the gateway is in.
    pub(super) zone: Option<String>,
    /// The table that the new one will take the place of.
    pub(super) last: Option<RouteTable>,
    /// Paths that may reach an engine beside the standard ones.
    pub(super) paths: Option<ApiPaths>,
}
