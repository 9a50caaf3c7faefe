//! What is counted for each route and each ModelServer of a table.

use std::sync::{Arc, Weak};

use hashbrown::HashMap;

use super::{
    figures::{Figures, Verdicts},
    ring::Ring,
};
use crate::route::CompiledTable;

/// The rows that a table has, by the names that it has: no other name makes one.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) table: Weak<CompiledTable>,
    pub(super) routes: HashMap<Arc<str>, RouteRow>,
    pub(super) servers: HashMap<Arc<str>, Arc<Ring<Figures>>>,
}

/// Routes of the same name have one.
#[derive(Debug, Default)]
pub(super) struct RouteRow {
    pub(super) figures: Arc<Ring<Figures>>,
    /// By the limits' texts; usually there is none or one.
    pub(super) limits: Vec<(Box<str>, Arc<Ring<Verdicts>>)>,
}

impl Rows {
    /// Those of `table`; what it has in common with the table before goes on.
    pub(super) fn new(table: &Arc<CompiledTable>, before: &Self) -> Self {
        let mut routes = HashMap::<_, RouteRow>::new();
        for (name, limits) in table.routes_with_limits() {
            let known = before.routes.get(&**name);
            let row = routes.entry(Arc::clone(name)).or_insert_with(|| RouteRow {
                figures: known.map_or_else(Arc::default, |row| Arc::clone(&row.figures)),
                limits: Vec::new(),
            });
            for limit in limits {
                if row.limit(&limit.name).is_none() {
                    let known = known.and_then(|row| row.limit(&limit.name));
                    let verdicts = known.cloned().unwrap_or_default();
                    row.limits.push((limit.name.clone(), verdicts));
                }
            }
        }
        let servers = table.servers.iter().map(|server| {
            let known = before.servers.get(&*server.name);
            (Arc::clone(&server.name), known.cloned().unwrap_or_default())
        });
        Self {
            table: Arc::downgrade(table),
            routes,
            servers: servers.collect(),
        }
    }
}

impl RouteRow {
    pub(super) fn limit(&self, name: &str) -> Option<&Arc<Ring<Verdicts>>> {
        let mut limits = self.limits.iter();
        limits
            .find(|(own, _)| **own == *name)
            .map(|(_, verdicts)| verdicts)
    }
}
