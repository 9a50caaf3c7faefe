//! The routes of a table: their names, rules and limits.

use std::{
    mem,
    ops::Range,
    sync::{Arc, OnceLock},
};

use tokio::runtime::Handle;

use super::{
    models::ModelList,
    names::{Entry, Names, Run, index},
    rule::CompiledRule,
};
use crate::{config::ModelRoute, limit::LiveLimit};

/// The routes of a table, which is most of it: nothing in it depends on the endpoints.
///
/// The rules of a route are adjacent, so a name leads straight to the slice of its rules.
/// A clone shares the live parts: limits, picks and splits.
#[derive(Clone, Default)]
pub(crate) struct CompiledRoutes {
    pub(super) rules: Vec<CompiledRule>,
    pub(super) route_names: Vec<Arc<str>>,
    /// The limits of each route; empty if none has any, so that a request looks at no place of its
    /// own for what is not there.
    pub(super) limits: Vec<Box<[Arc<LiveLimit>]>>,
    /// Whether some route has a limit on tokens.
    pub(super) limits_tokens: bool,
    /// Whether the choice of a rule may depend on the tokens of a prompt.
    pub(crate) counts_prompts: bool,
    /// The routes' positions in the order of their names, once they are needed.
    pub(super) by_name: OnceLock<Box<[u32]>>,
    /// For names that several routes share: the runs of their rules.
    pub(super) shared: Vec<Vec<Range<u32>>>,
    pub(super) names: Names,
    pub(crate) models: ModelList,
    /// What they were made of, which no other table lets go of last: see [`Drop`].
    pub(super) made_of: Vec<ModelRoute>,
}

/// From this many rules on, dropping them takes a millisecond, and is not done by a
/// request.
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
            let told = (mem::take(&mut self.models), mem::take(&mut self.made_of));
            runtime.spawn_blocking(move || drop((lists, names, told)));
        }
    }
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
            Run::One { rule, .. } => Some(rule).filter(is),
            Run::Rules(start, end) => (start..end).find(is),
            Run::Shared(shared) => self.shared[shared as usize]
                .iter()
                .cloned()
                .flatten()
                .find(is),
        }
    }
}
