//! Lenient reading, in which each resource fails alone: one with errors is left
//! out, or stays as it was.

use std::collections::{BTreeSet, HashSet};

use super::{
    assembly::Assembly,
    diagnostic::{Diagnostic, Severity},
    inputs::Inputs,
    place::Spot,
    scope::{Known, Scopes},
};
use crate::{
    manifest::read::{
        model_route::RouteManifest, resource::Resources, server_manifest::ServerManifest,
    },
    route::RouteTable,
};

/// What came of it.
pub(super) struct Outcome {
    pub(super) assembly: Assembly,
    pub(super) table: Option<RouteTable>,
    /// The resources that the table is made of.
    #[cfg(any(feature = "watch", feature = "kube"))]
    pub(super) resources: Resources,
}

/// Assembles what is not wrong. `found` is what was said about reading, and gets all that there is to
/// say; `last` are the resources of the last table, from which those are taken that are wrong now.
pub(super) fn assemble(
    inputs: &Inputs,
    denied: &BTreeSet<String>,
    last: &Resources,
    found: &mut Vec<Diagnostic>,
) -> Outcome {
    let is_error = |diagnostic: &&Diagnostic| {
        diagnostic.severity() == Severity::Error || denied.contains(diagnostic.code())
    };
    let mut remaining = Remaining {
        inputs: inputs.clone(),
        last,
        restored: HashSet::new(),
    };
    remaining.leave_out(&found.iter().filter(is_error).collect::<Vec<_>>());
    loop {
        let mut said = Vec::new();
        let assembly = Assembly::new(&remaining.inputs, &mut said);
        let table = assembly.build(remaining.inputs.last.as_ref(), &mut said);
        let errors: Vec<&Diagnostic> = said.iter().filter(is_error).collect();
        let goes_on = remaining.leave_out(&errors);
        // Diagnostics about the rest will be found again.
        said.retain(|said| !goes_on || is_error(&said));
        if !said.is_empty() {
            let known: HashSet<&Diagnostic> = found.iter().collect();
            said.retain(|said| !known.contains(said));
        }
        found.append(&mut said);
        if !goes_on {
            return Outcome {
                assembly,
                table,
                #[cfg(any(feature = "watch", feature = "kube"))]
                resources: remaining.inputs.resources,
            };
        }
    }
}

struct Remaining<'a> {
    inputs: Inputs,
    last: &'a Resources,
    /// What was taken from there: a version that is wrong by now, too, is not taken again.
    restored: HashSet<Name<'a>>,
}

/// The kind, the namespace and the name of a resource.
type Name<'r> = (&'static str, &'r str, &'r str);

impl Remaining<'_> {
    /// Leaves out the resources that these errors are in, in favour of their last good versions;
    /// whether there were any.
    fn leave_out(&mut self, errors: &[&Diagnostic]) -> bool {
        if errors.is_empty() {
            return false;
        }
        let scopes = Scopes::new(errors.iter().copied());
        let all = self.inputs.resources.clone();
        // Of a document that can't be read it is not known what is in it.
        let spots = named(&all).map(|(_, spot)| spot);
        let known = Known::new(spots.filter(|spot| scopes.has_document(spot)));
        let unread = errors.iter().filter(|error| !known.has(error));
        let unread = Scopes::new(unread.copied());
        let wrong = named(&all).filter(|(_, spot)| scopes.has(spot));
        let wrong: HashSet<Name<'_>> = wrong.map(|(name, _)| name).collect();
        let resources = &mut self.inputs.resources;
        let servers = &mut resources.servers;
        servers.retain(|server| !scopes.has(&server.origin.whole));
        let routes = &mut resources.routes;
        routes.retain(|route| !scopes.has(&route.origin.whole));
        let restored = self.restore(&wrong, &unread);
        !wrong.is_empty() || restored
    }

    fn restore(&mut self, wrong: &HashSet<Name<'_>>, unread: &Scopes<'_>) -> bool {
        let mut due: HashSet<Name<'_>> = named(self.last)
            .filter(|(name, spot)| wrong.contains(name) || unread.has_document(spot))
            .map(|(name, _)| name)
            .filter(|name| !self.restored.contains(name))
            .collect();
        let resources = &mut self.inputs.resources;
        let present = named(resources).map(|(name, _)| name);
        let present: HashSet<Name<'_>> = present.filter(|name| due.contains(name)).collect();
        due.retain(|name| !present.contains(name));
        let servers = self.last.servers.iter();
        let servers = servers.filter(|server| due.contains(&of_server(server)));
        resources.servers.extend(servers.cloned());
        let routes = self.last.routes.iter();
        let routes = routes.filter(|route| due.contains(&of_route(route)));
        resources.routes.extend(routes.cloned());
        self.restored.extend(&due);
        !due.is_empty()
    }
}

/// What may fail alone, with its place.
fn named(resources: &Resources) -> impl Iterator<Item = (Name<'_>, &Spot)> {
    let servers = resources.servers.iter();
    let servers = servers.map(|server| (of_server(server), &server.origin.whole));
    let routes = resources.routes.iter();
    servers.chain(routes.map(|route| (of_route(route), &route.origin.whole)))
}

fn of_server(server: &ServerManifest) -> Name<'_> {
    ("ModelServer", &server.namespace, &server.name)
}

fn of_route(route: &RouteManifest) -> Name<'_> {
    ("ModelRoute", &route.namespace, &route.name)
}
