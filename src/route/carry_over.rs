//! The live state that a new table takes over from the table it replaces.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use super::table::{CompiledRule, CompiledTable, Targets};
use crate::server::{Endpoint, Server};

impl CompiledTable {
    /// Makes the live state of `old` that of this table: endpoints with the same URI keep
    /// their counts and health, unless their names are others, ModelServers of the same name their queue, rules with the
    /// same targets their picks and, with the same weights, the position of their split, limits
    /// that are the same in a route of the same name what is left of them.
    /// What is known of the engines' state stays. The retry budget stays unless another was configured.
    pub(super) fn carry_over(&mut self, old: &Self) {
        self.carry_over_servers(old);
        self.carry_over_rules(old);
        self.carry_over_limits(old);
        old.homes.change(&self.homes);
        self.homes = Arc::clone(&old.homes);
        if self.config.shared_budget().is_none() && old.config.shared_budget().is_none() {
            self.retry_budget = Arc::clone(&old.retry_budget);
        }
    }

    /// Lets the requests that wait go to what is new.
    pub(super) fn wake_waiting(&self) {
        self.servers.iter().for_each(|server| server.changed());
    }

    fn carry_over_servers(&mut self, old: &Self) {
        let configs = old.config.get_model_servers().iter();
        let servers: HashMap<&str, _> = (old.servers.iter().zip(configs))
            .map(|(server, config)| (&*server.name, (server, config)))
            .collect();
        let endpoints: HashMap<&str, &Arc<Endpoint>> = (old.servers.iter())
            .flat_map(|server| &server.endpoints)
            .map(|endpoint| (&**endpoint.uri(), endpoint))
            .collect();
        for (server, config) in self.servers.iter_mut().zip(self.config.get_model_servers()) {
            let old = servers.get(&*server.name);
            let is_balanced_alike = old.is_some_and(|(_, old)| {
                old.get_balance() == config.get_balance()
                    && old.get_endpoints() == config.get_endpoints()
            });
            let old = old.map(|(server, _)| *server);
            let is_balanced_alike =
                is_balanced_alike && old.is_some_and(|old| old.has_the_endpoints_of(server));
            Server::carry_over(server, old, &endpoints, is_balanced_alike);
        }
    }

    fn carry_over_rules(&mut self, old: &Self) {
        let heirs: HashMap<_, _> = numbered(old.rules.iter().map(|rule| (old.key(rule), rule)))
            .into_iter()
            .collect();
        let keys = numbered(self.rules.iter().map(|rule| (self.key(rule), ())));
        let carried: Vec<_> = keys
            .iter()
            .map(|(key, ())| heirs.get(key).copied())
            .collect();
        for (rule, old) in self.rules.iter_mut().zip(carried) {
            if let Some(old) = old {
                rule.carry_over(old);
            }
        }
    }

    fn carry_over_limits(&mut self, old: &Self) {
        let heirs: HashMap<_, _> = numbered(old.route_names.iter().zip(&old.limits))
            .into_iter()
            .collect();
        for (key, new) in numbered(self.route_names.iter().zip(&mut self.limits)) {
            let Some(old) = heirs.get(&key) else { continue };
            for limit in new {
                if let Some(same) = old.iter().find(|old| old.is_like(limit)) {
                    *limit = Arc::clone(same);
                }
            }
        }
    }

    /// What a rule is recognised by: its route, its name, and its targets in order.
    fn key<'a>(&'a self, rule: &'a CompiledRule) -> Key<'a> {
        let names = rule.all().map(|target| &*self.target(rule, target).name);
        (
            self.route_of(rule),
            &rule.name,
            rule.own_targets(),
            names.collect(),
        )
    }
}

impl CompiledRule {
    fn carry_over(&mut self, old: &Self) {
        self.picks = Arc::clone(&old.picks);
        if let (Targets::Split(new), Targets::Split(old)) = (&mut self.targets, &old.targets)
            && new.split.is_like(&old.split)
        {
            new.split = Arc::clone(&old.split);
        }
    }
}

type Key<'a> = (&'a str, &'a str, usize, Vec<&'a str>);

/// Numbers equal keys, so that each of them has one heir.
fn numbered<K: Clone + Eq + Hash, V>(keys: impl Iterator<Item = (K, V)>) -> Vec<((K, usize), V)> {
    let mut seen = HashMap::new();
    keys.map(|(key, value)| {
        let count = seen.entry(key.clone()).or_insert(0_usize);
        *count += 1;
        ((key, *count), value)
    })
    .collect()
}
