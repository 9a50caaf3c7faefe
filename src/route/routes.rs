//! The routes of a table: their names, rules and limits.

use std::{
    mem,
    ops::Range,
    sync::{Arc, OnceLock},
};

use hashbrown::HashMap;
use tokio::runtime::Handle;

use super::{models::ModelList, rule::CompiledRule};
use crate::{config::ModelRoute, limit::LiveLimit};

/// The routes of a table, which is most of it: nothing in it depends on the endpoints.
///
/// The rules of a route are adjacent, so a name leads straight to the slice of its rules.
/// A clone shares the live parts: limits, picks and splits.
#[derive(Clone, Default)]
pub(crate) struct CompiledRoutes {
    pub(super) rules: Vec<CompiledRule>,
    pub(super) route_names: Vec<Arc<str>>,
    /// The limits of each route.
    pub(super) limits: Vec<Box<[Arc<LiveLimit>]>>,
    /// Whether some route has a limit on tokens.
    pub(super) limits_tokens: bool,
    /// Whether the choice of a rule may depend on the tokens of a prompt.
    pub(crate) counts_prompts: bool,
    /// The routes' positions in the order of their names, once they are needed.
    pub(super) by_name: OnceLock<Box<[u32]>>,
    /// For names that several routes share: the runs of their rules.
    pub(super) shared: Vec<Vec<Range<u32>>>,
    /// The names in `by_model` and `by_adapter`.
    pub(super) names: Vec<Arc<str>>,
    pub(super) by_model: Names,
    pub(super) by_adapter: Names,
    pub(crate) models: ModelList,
    /// What they were made of, which no other table lets go of last: see [`Drop`].
    pub(super) made_of: Vec<ModelRoute>,
}

/// From so many rules on, dropping them takes a millisecond, and no request's time.
const MANY: usize = 1_000;

impl Drop for CompiledRoutes {
    /// What drops the last of them may be a request that has outlived its table. The configuration
    /// of the table goes first, and is none of its routes' last owner.
    fn drop(&mut self) {
        if self.rules.len() < MANY {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            let lists = (mem::take(&mut self.rules), mem::take(&mut self.limits));
            let names = (mem::take(&mut self.route_names), mem::take(&mut self.names));
            let found = (
                mem::take(&mut self.by_model),
                mem::take(&mut self.by_adapter),
            );
            let told = (mem::take(&mut self.models), mem::take(&mut self.made_of));
            runtime.spawn_blocking(move || drop((lists, names, found, told)));
        }
    }
}

/// The entry for a model's or an adapter's name.
pub(super) type Names = HashMap<Arc<str>, Entry>;

/// Together with its key it takes half a cache line: with many routes, what a
/// look-up costs is the lines that it touches.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The name's own position in [`CompiledRoutes::names`].
    pub(super) name: u32,
    pub(super) rules: Run,
}

/// Where the rules of a name's routes are stored, in the order of the routes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Run {
    /// In [`CompiledRoutes::rules`], from the first up to the second: the name has one route.
    Rules(u32, u32),
    /// A position in [`CompiledRoutes::shared`]: several routes share the name.
    Shared(u32),
}

impl CompiledRoutes {
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

    /// The first of the entry's rules for which `is` holds.
    pub(super) fn find_rule(&self, entry: &Entry, is: impl Fn(&u32) -> bool) -> Option<u32> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_keeps_its_size() {
        assert_eq!(size_of::<(Arc<str>, Entry)>(), 32);
    }
}
