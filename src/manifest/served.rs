//! Which ModelRoutes are served, and in which order.

use std::{collections::HashSet, sync::Arc};

use super::{
    diagnostic::{Diagnostic, Severity},
    gateway::Gateway,
    inputs::Inputs,
    place::Spot,
};
use crate::manifest::read::model_route::RouteManifest;

/// The routes that are served.
pub(super) struct Served<'i> {
    /// In the order in which they are tried.
    pub(super) routes: Vec<&'i Arc<RouteManifest>>,
    /// The note about those that are left out.
    pub(super) note: Option<String>,
    /// The ModelServers, by their full names, to which only these send anything.
    foreign: HashSet<&'i str>,
}

impl<'i> Served<'i> {
    pub(super) fn of(inputs: &'i Inputs, found: &mut Vec<Diagnostic>) -> Self {
        let all = inputs.resources.routes.iter();
        let mut served = Self {
            routes: Vec::new(),
            note: None,
            foreign: HashSet::new(),
        };
        match &inputs.gateway {
            Some(Ok(gateway)) => served.through(gateway, all.collect(), found),
            Some(Err(_)) => served.routes = all.collect(),
            None => {
                served.routes = all.collect();
                let spots = served.routes.iter().filter_map(|route| {
                    let spot = route.parents_spot.as_ref();
                    spot.map(not_acted_on)
                });
                found.extend(spots);
            }
        }
        served.routes.sort_by_key(|route| order(route));
        served
    }

    fn through(
        &mut self,
        gateway: &Gateway,
        all: Vec<&'i Arc<RouteManifest>>,
        found: &mut Vec<Diagnostic>,
    ) {
        let (own, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|route| gateway.has(route));
        let gateway = gateway.text();
        if own.is_empty() && !others.is_empty() {
            let message = format!(
                "no ModelRoute belongs to the Gateway {gateway:?}: every request is answered with 404"
            );
            let warning = Diagnostic::placeless(Severity::Warning, "no-routes", message);
            found.push(warning);
        }
        self.note = match others.len() {
            0 => None,
            1 => Some(format!(
                "1 ModelRoute belongs to other Gateways than {gateway:?}, and is left out"
            )),
            count => Some(format!(
                "{count} ModelRoutes belong to other Gateways than {gateway:?}, and are left out"
            )),
        };
        self.foreign = servers(&others).collect();
        for server in servers(&own) {
            self.foreign.remove(server);
        }
        self.routes = own;
    }

    /// Whether only routes that are left out send anything to this ModelServer.
    pub(super) fn leaves_out(&self, full_name: &str) -> bool {
        self.foreign.contains(full_name)
    }
}

/// The order of routes with one model name: a total order, since no two have the same name.
///
/// The oldest first, and what has no age before all others, as in Kthena. Of the same age come
/// those without a `resourceVersion` first, such as all objects of a cluster, where it changes
/// with each update.
fn order(route: &RouteManifest) -> impl Ord + use<'_> {
    (route.created, route.version, &route.namespace, &route.name)
}

/// The full names of the ModelServers that these send anything to.
fn servers<'r>(routes: &[&'r Arc<RouteManifest>]) -> impl Iterator<Item = &'r str> {
    let targets = routes.iter().flat_map(|route| route.targets());
    targets.map(|(name, _)| name)
}

fn not_acted_on(spot: &Spot) -> Diagnostic {
    let message = "Gateways are not acted on: the route serves every request that comes to this \
                   router";
    Diagnostic::new(Severity::Warning, "not-acted-on", spot, message)
}
