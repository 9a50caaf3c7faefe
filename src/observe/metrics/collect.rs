//! Metrics that are read, not recorded: the state of the table and of its
//! engines.

use std::collections::BTreeMap;

use super::{
    collected::Collected,
    names,
    recorder::Metrics,
    series::{describe, labels},
};
use crate::{
    observe::snapshot::EndpointSnapshot, pieces::lock, route::RouteTable, server::EndpointHealth,
};

const STATES: [EndpointHealth; 7] = [
    EndpointHealth::Healthy,
    EndpointHealth::HalfOpen,
    EndpointHealth::Cooling,
    EndpointHealth::Ejected,
    EndpointHealth::Failing,
    EndpointHealth::Unhealthy,
    EndpointHealth::Draining,
];

impl Metrics {
    /// Updates gauges and counters from the table: requests in flight and waiting, health,
    /// ejections, picks, reloads, and what is not watched of a cluster. Gauges of things that are no
    /// longer in the table are set to 0.
    pub fn collect(&self) {
        self.described.get_or_init(describe);
        let table = self.table.table();
        let mut collected = lock(&self.collected);
        collected.begin();
        for server in table.servers() {
            let name = server.name();
            let labels = labels([("server", name)]);
            collected.set(names::QUEUE, labels, server.queued() as f64);
            for endpoint in server.endpoints() {
                collected.endpoint(name, endpoint);
            }
        }
        collected.picks(&table);
        let (done, failed) = self.table.reloads();
        for (result, count) in [("ok", done), ("failed", failed)] {
            collected.count(names::RELOADS, labels([("result", result)]), count);
        }
        let has_error = self.table.last_error().is_some();
        collected.set(names::RELOAD_ERROR, Vec::new(), u8::from(has_error).into());
        #[cfg(feature = "kube")]
        for (kind, namespace) in self.table.unwatched() {
            let labels = labels([("kind", kind), ("namespace", &*namespace)]);
            collected.set(names::WATCH_ERROR, labels, 1.0);
        }
        collected.end();
    }
}

impl Collected {
    fn endpoint(&mut self, server: &str, endpoint: &EndpointSnapshot) {
        let uri = endpoint.uri();
        let labels = || labels([("server", server), ("endpoint", uri)]);
        self.set(names::IN_FLIGHT, labels(), endpoint.in_flight() as f64);
        for state in STATES {
            let mut labels = labels();
            labels.push(("state", state.as_str().into()));
            let is_it = endpoint.health() == state;
            self.set(names::HEALTH, labels, u8::from(is_it).into());
        }
        // Names are in a series of their own, which others are joined with: a Pod has a new name
        // each time, and not each of its series has to be new.
        if let Some(called) = endpoint.name() {
            let mut labels = labels();
            labels.push(("name", called.to_owned().into()));
            self.set(names::INFO, labels, 1.0);
        }
        self.count(names::FAILURES, labels(), endpoint.failures());
        self.count(names::EJECTIONS, labels(), endpoint.ejections());
    }

    /// Rules that no name tells apart count together.
    fn picks(&mut self, table: &RouteTable) {
        let mut picks = BTreeMap::<_, u64>::new();
        for (route, rules) in table.compiled().walk() {
            for rule in rules {
                for (target, to) in rule.config.get_targets().iter().enumerate() {
                    let name = (
                        route.get_name(),
                        rule.config.get_name(),
                        to.get_model_server(),
                    );
                    *picks.entry(name).or_default() += rule.compiled.picks.count(target);
                }
            }
        }
        for ((route, rule, server), count) in picks {
            let labels = labels([("route", route), ("rule", rule), ("server", server)]);
            self.count(names::PICKS, labels, count);
        }
    }
}
