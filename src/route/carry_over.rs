//! The live state that a new table takes over from the table it replaces.

use std::{hash::Hash, sync::Arc};

use hashbrown::HashMap;

use super::{
    rule::{CompiledRule, Targets},
    table::CompiledTable,
};
use crate::server::{Endpoint, Server};

impl CompiledTable {
    /// Makes the live state of `old` that of this table: endpoints with the same URI keep their counts
    /// and health, unless their names are others, ModelServers of the same name their queue, rules with
    /// the same targets their picks and, with the same weights, the position of their split, limits that
    /// are the same in a route of the same name what is left of them. What is known about the engines'
    /// state stays. The retry budget stays unless another was configured.
    pub(super) fn carry_over(&mut self, old: &Self) {
        self.carry_over_servers(old);
        self.carry_over_routes(old);
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
            let Some(&(old, before)) = servers.get(&*server.name) else {
                Server::carry_over(server, None, &endpoints, false);
                continue;
            };
            if Arc::ptr_eq(old, server) {
                continue;
            }
            let is_balanced_alike = before.get_balance() == config.get_balance()
                && before.get_endpoints() == config.get_endpoints()
                && old.has_the_endpoints_of(server);
            Server::carry_over(server, Some(old), &endpoints, is_balanced_alike);
        }
    }

    /// Routes that this table shares with `old` have nothing to take over.
    fn carry_over_routes(&mut self, old: &Self) {
        if Arc::ptr_eq(&self.routes, &old.routes) {
            return;
        }
        let known: HashMap<_, _> = numbered(old.routes_by_name()).into_iter().collect();
        let routes = numbered(self.routes_by_name()).into_iter();
        let heirs: Vec<(u32, u32)> = routes
            .filter_map(|(key, route)| Some((route, *known.get(&key)?)))
            .collect();
        let mut rules = Vec::new();
        for &(route, known) in &heirs {
            rules.extend(self.heirs(route, old, known));
        }
        let routes = Arc::make_mut(&mut self.routes);
        for (rule, old) in rules {
            if let Some(rule) = routes.rules.get_mut(rule) {
                rule.carry_over(old);
            }
        }
        for (route, known) in heirs {
            let limits = routes.limits.get_mut(route as usize);
            for limit in limits.into_iter().flatten() {
                let mut old = old.routes.limits.get(known as usize).into_iter().flatten();
                if let Some(same) = old.find(|old| old.is_like(limit)) {
                    *limit = Arc::clone(same);
                }
            }
        }
    }

    fn routes_by_name(&self) -> impl Iterator<Item = (&str, u32)> {
        self.routes.route_names.iter().map(|name| &**name).zip(0..)
    }

    /// The rules of a route that are in the `known` one of `old` too, by their positions.
    fn heirs<'t>(
        &self,
        route: u32,
        old: &'t Self,
        known: u32,
    ) -> impl Iterator<Item = (usize, &'t CompiledRule)> + use<'t> {
        let (first, rules) = self.keyed(route);
        let (_, known) = old.keyed(known);
        let is_same = rules.len() == known.len()
            && rules
                .iter()
                .zip(&known)
                .all(|((key, _), (known, _))| key == known);
        let heirs: Vec<_> = match is_same {
            true => (first..)
                .zip(known)
                .map(|(rule, (_, known))| (rule, known))
                .collect(),
            false => {
                let known: HashMap<_, _> = numbered(known.into_iter()).into_iter().collect();
                let rules = numbered(rules.into_iter().map(|(key, _)| key).zip(first..));
                let heir = |(key, rule)| Some((rule, *known.get(&key)?));
                rules.into_iter().filter_map(heir).collect()
            }
        };
        heirs.into_iter()
    }

    /// The position of a route's first rule, and its rules by their keys.
    fn keyed(&self, route: u32) -> (usize, Vec<(Key<'_>, &CompiledRule)>) {
        let run = self.routes.rules_of(route);
        let run = run.start as usize..run.end as usize;
        let rules = self.routes.rules.get(run.clone()).unwrap_or_default();
        let keyed = rules.iter().map(|rule| (self.key(rule), rule));
        (run.start, keyed.collect())
    }

    /// What identifies a rule of a route: its name, and its targets in order.
    fn key<'t>(&'t self, rule: &'t CompiledRule) -> Key<'t> {
        let names = rule.all().map(|target| &*self.target(rule, target).name);
        (&rule.name, rule.own_targets(), names.collect())
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

type Key<'t> = (&'t str, usize, Vec<&'t str>);

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
