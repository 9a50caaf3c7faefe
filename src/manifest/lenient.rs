//! Each resource fails alone: what is wrong is left out, or stays as it was.

use std::collections::{BTreeSet, HashSet};

use super::{
    assembly::Assembly,
    diagnostic::{Diagnostic, Severity},
    inputs::Inputs,
    place::Spot,
};
use crate::{manifest::read::resource::Resources, route::RouteTable};

/// What came of it.
pub(super) struct Outcome {
    pub(super) assembly: Assembly,
    pub(super) table: Option<RouteTable>,
    /// The resources that the table is made of.
    #[cfg(any(feature = "watch", feature = "kube"))]
    pub(super) resources: Resources,
}

/// Assembles what is not wrong. `found` is what was said of reading, and gets all that there is to
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
        let table = assembly.build(&mut said);
        let errors: Vec<&Diagnostic> = said.iter().filter(is_error).collect();
        let goes_on = remaining.leave_out(&errors);
        // What is said of the rest is said again.
        said.retain(|said| (!goes_on || is_error(&said)) && !found.contains(said));
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
    restored: HashSet<Name>,
}

/// The kind, the namespace and the name of a resource.
type Name = (&'static str, String, String);

impl Remaining<'_> {
    /// Leaves out the resources that these errors are in, in favour of their last good versions;
    /// whether there were any.
    fn leave_out(&mut self, errors: &[&Diagnostic]) -> bool {
        let is_wrong = |spot: &Spot| errors.iter().any(|error| error.is_within(spot));
        let resources = &mut self.inputs.resources;
        // Of a document that can't be read it is not known what is in it.
        let servers = resources.servers.iter().map(|server| &server.origin.whole);
        let routes = resources.routes.iter().map(|route| &route.origin.whole);
        let spots: Vec<&Spot> = servers.chain(routes).collect();
        let is_unread = |error: &&&Diagnostic| !spots.iter().any(|spot| error.is_within(spot));
        let unread: Vec<&Diagnostic> = errors.iter().filter(is_unread).copied().collect();
        let before = resources.servers.len() + resources.routes.len();
        let mut wrong: HashSet<Name> = HashSet::new();
        resources.servers.retain(|server| {
            let keep = !is_wrong(&server.origin.whole);
            if !keep {
                wrong.insert(of_server(&server.namespace, &server.name));
            }
            keep
        });
        resources.routes.retain(|route| {
            let keep = !is_wrong(&route.origin.whole);
            if !keep {
                wrong.insert(of_route(&route.namespace, &route.name));
            }
            keep
        });
        let left = resources.servers.len() + resources.routes.len();
        let is_lost = |spot: &Spot| unread.iter().any(|error| error.is_in_document(spot));
        let restored = self.restore(&wrong, is_lost);
        left < before || restored
    }

    fn restore(&mut self, wrong: &HashSet<Name>, is_lost: impl Fn(&Spot) -> bool) -> bool {
        let resources = &mut self.inputs.resources;
        let mut present: HashSet<Name> = HashSet::new();
        let servers = resources.servers.iter();
        present.extend(servers.map(|server| of_server(&server.namespace, &server.name)));
        let routes = resources.routes.iter();
        present.extend(routes.map(|route| of_route(&route.namespace, &route.name)));
        let restored = &mut self.restored;
        let mut comes = |name: Name, spot: &Spot| {
            let is_due = wrong.contains(&name) || is_lost(spot);
            is_due && !present.contains(&name) && restored.insert(name)
        };
        let before = resources.servers.len() + resources.routes.len();
        for server in &self.last.servers {
            let name = of_server(&server.namespace, &server.name);
            if comes(name, &server.origin.whole) {
                resources.servers.push(server.clone());
            }
        }
        for route in &self.last.routes {
            let name = of_route(&route.namespace, &route.name);
            if comes(name, &route.origin.whole) {
                resources.routes.push(route.clone());
            }
        }
        resources.servers.len() + resources.routes.len() > before
    }
}

fn of_server(namespace: &str, name: &str) -> Name {
    ("ModelServer", namespace.to_owned(), name.to_owned())
}

fn of_route(namespace: &str, name: &str) -> Name {
    ("ModelRoute", namespace.to_owned(), name.to_owned())
}
