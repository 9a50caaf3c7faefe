//! The live state that a new table takes over from the table it replaces.

use std::{collections::HashMap, sync::Arc};

use super::{
    split::Split,
    table::{CompiledRule, CompiledTable, Targets},
};
use crate::server::Server;

impl CompiledTable {
    /// Makes the live state of `old` that of this table: the counts and the
    /// health of the endpoints that stay with a ModelServer of the same name,
    /// its queue, and the position of each split that stays as it is.
    pub(super) fn carry_over(&mut self, old: &Self) {
        let servers: HashMap<&str, &Arc<Server>> = old
            .servers
            .iter()
            .map(|server| (&*server.name, server))
            .collect();
        for server in &mut self.servers {
            if let Some(old) = servers.get(&*server.name) {
                Server::carry_over(server, old);
            }
        }
        let splits: HashMap<Key<'_>, &Arc<Split>> = old
            .rules
            .iter()
            .filter_map(|rule| Some((old.key(rule)?, rule.split()?)))
            .collect();
        let carried: Vec<_> = self
            .rules
            .iter()
            .map(|rule| {
                let split = *splits.get(&self.key(rule)?)?;
                rule.split()?.is_like(split).then(|| Arc::clone(split))
            })
            .collect();
        for (rule, carried) in self.rules.iter_mut().zip(carried) {
            if let (Targets::Split(targets), Some(split)) = (&mut rule.targets, carried) {
                targets.split = split;
            }
        }
    }

    /// The key by which a rule is recognised: its route, its name, and its targets in order.
    fn key<'a>(&'a self, rule: &'a CompiledRule) -> Option<Key<'a>> {
        let targets = 0..rule.split()?.targets();
        let names = targets.map(|target| &*self.target(rule, target).name);
        Some((self.route_of(rule), &rule.name, names.collect()))
    }
}

impl CompiledRule {
    fn split(&self) -> Option<&Arc<Split>> {
        match &self.targets {
            Targets::One(_) => None,
            Targets::Split(targets) => Some(&targets.split),
        }
    }
}

type Key<'a> = (&'a str, &'a str, Vec<&'a str>);
