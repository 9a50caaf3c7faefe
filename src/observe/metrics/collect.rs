//! What is no event: the state of the table and of its engines.

use std::{collections::BTreeMap, sync::Arc};

use metrics::{Gauge, SharedString};

use super::{
    names,
    recorder::{Collected, Metrics},
    series::{counter, describe, gauge},
};
use crate::{
    observe::snapshot::{EndpointSnapshot, ServerSnapshot},
    pieces::lock,
    route::RouteTable,
    server::EndpointHealth,
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

fn owned(text: &str) -> SharedString {
    text.to_owned().into()
}

impl Metrics {
    /// Reads from the table what is in flight, waits, is ejected or was reloaded, into gauges and
    /// counters. What is no longer in the table is set to 0.
    pub fn collect(&self) {
        self.described.get_or_init(describe);
        let table = self.table.table();
        let mut seen = Collected::new();
        for server in table.servers() {
            let length = gauge(names::QUEUE, vec![("server", owned(server.name()))]);
            length.set(server.queued() as f64);
            for endpoint in server.endpoints() {
                collect_endpoint(&server, endpoint);
                let key = (Arc::from(server.name()), Arc::from(endpoint.uri()));
                seen.insert(key, endpoint.name().map(Arc::from));
            }
        }
        let before = std::mem::replace(&mut *lock(&self.collected), seen);
        let after = lock(&self.collected);
        for (key @ (server, endpoint), name) in &before {
            let now = after.get(key);
            if now.is_none() {
                set_state(server, endpoint, 0, None);
            }
            if let Some(name) = name.as_deref()
                && now.is_none_or(|now| now.as_deref() != Some(name))
            {
                info(server, endpoint, name).set(0.0);
            }
        }
        drop(after);
        collect_picks(&table);
        let (done, failed) = self.table.reloads();
        for (result, count) in [("ok", done), ("failed", failed)] {
            counter(names::RELOADS, vec![("result", result.into())]).absolute(count);
        }
        let has_error = self.table.last_error().is_some();
        gauge(names::RELOAD_ERROR, Vec::new()).set(f64::from(u8::from(has_error)));
    }
}

/// Rules that no name tells apart count together.
fn collect_picks(table: &RouteTable) {
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
        let labels = vec![
            ("route", owned(route)),
            ("rule", owned(rule)),
            ("server", owned(server)),
        ];
        counter(names::PICKS, labels).absolute(count);
    }
}

fn collect_endpoint(server: &ServerSnapshot, endpoint: &EndpointSnapshot) {
    let (name, uri) = (server.name(), endpoint.uri());
    set_state(name, uri, endpoint.in_flight(), Some(endpoint.health()));
    if let Some(called) = endpoint.name() {
        info(name, uri, called).set(1.0);
    }
    let labels = || vec![("server", owned(name)), ("endpoint", owned(uri))];
    counter(names::FAILURES, labels()).absolute(endpoint.failures());
    counter(names::EJECTIONS, labels()).absolute(endpoint.ejections());
}

/// Names are in a series of their own, which others are joined with: a Pod has a new name each time,
/// and not each of its series has to be new.
fn info(server: &str, endpoint: &str, name: &str) -> Gauge {
    let labels = vec![
        ("server", owned(server)),
        ("endpoint", owned(endpoint)),
        ("name", owned(name)),
    ];
    gauge(names::INFO, labels)
}

fn set_state(server: &str, endpoint: &str, in_flight: usize, health: Option<EndpointHealth>) {
    let labels = || vec![("server", owned(server)), ("endpoint", owned(endpoint))];
    gauge(names::IN_FLIGHT, labels()).set(in_flight as f64);
    for state in STATES {
        let mut labels = labels();
        labels.push(("state", state.as_str().into()));
        let value = if health == Some(state) { 1.0 } else { 0.0 };
        gauge(names::HEALTH, labels).set(value);
    }
}
