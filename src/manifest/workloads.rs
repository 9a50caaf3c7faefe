//! Which workloads belong to a ModelServer.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    diagnostic::{Diagnostic, Severity},
    read::{server_manifest::ServerManifest, workload::Workload},
};
use crate::config::Endpoint;

/// Workloads indexed by what ModelServers select them by, so that not every ModelServer looks at
/// every workload.
pub(super) struct Workloads<'w> {
    all: &'w [Arc<Workload>],
    /// Their positions, by namespace and name.
    by_name: HashMap<(&'w str, &'w str), Vec<usize>>,
    /// By namespace and label.
    by_label: HashMap<(&'w str, &'w str, &'w str), Vec<usize>>,
}

impl<'w> Workloads<'w> {
    pub(super) fn new(all: &'w [Arc<Workload>]) -> Self {
        let (mut by_name, mut by_label) = (HashMap::new(), HashMap::new());
        for (position, workload) in all.iter().enumerate() {
            let namespace = workload.namespace();
            for name in workload.names() {
                let named: &mut Vec<_> = by_name.entry((namespace, name)).or_default();
                named.push(position);
            }
            for (name, value) in workload.labels() {
                let label = (namespace, &**name, &**value);
                let labelled: &mut Vec<_> = by_label.entry(label).or_default();
                labelled.push(position);
            }
        }
        Self {
            all,
            by_name,
            by_label,
        }
    }

    /// Those that [serve](Workload::serves) the ModelServer, in the order in which they were read.
    pub(super) fn of(&self, server: &ServerManifest) -> impl Iterator<Item = &'w Workload> {
        let namespace = &*server.namespace;
        let labels = server.labels.iter();
        let labelled = labels.map(|(name, value)| {
            let found = self.by_label.get(&(namespace, &**name, &**value));
            found.map_or(&[][..], |found| found)
        });
        // It needs all its labels, so that the rarest is enough to find them.
        let rarest = labelled.min_by_key(|found| found.len());
        let name = server.service.as_ref().unwrap_or(&server.name);
        let named = self.by_name.get(&(namespace, &**name));
        let mut found = [rarest.unwrap_or_default(), named.map_or(&[], |named| named)].concat();
        found.sort_unstable();
        found.dedup();
        let all = self.all;
        let found = found.into_iter().filter_map(|position| all.get(position));
        let serving: Vec<_> = found.filter(|workload| workload.serves(server)).collect();
        serving.into_iter().map(|workload| &**workload)
    }
}

/// The endpoints that a ModelServer has from workloads.
pub(super) fn of_workloads(
    workloads: &Workloads<'_>,
    manifest: &ServerManifest,
    found: &mut Vec<Diagnostic>,
) -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    let mut without_port = false;
    for workload in workloads.of(manifest) {
        match workload.endpoints(manifest) {
            Some(some) => endpoints.extend(some),
            None => without_port = true,
        }
    }
    if without_port {
        let spot = &manifest.port_spot;
        let message = "it selects workloads, but without a workloadPort their port is not known";
        found.push(Diagnostic::new(
            Severity::Error,
            "missing-field",
            spot,
            message,
        ));
    }
    merged(endpoints)
}

/// An engine may be found twice, as a Pod and in a slice: the facts from both count.
fn merged(endpoints: Vec<Endpoint>) -> Vec<Endpoint> {
    let mut merged: Vec<Endpoint> = Vec::with_capacity(endpoints.len());
    let mut positions: HashMap<String, usize> = HashMap::new();
    for endpoint in endpoints {
        let position = *positions
            .entry(endpoint.get_uri().to_owned())
            .or_insert(merged.len());
        let Some(known) = merged.get_mut(position) else {
            merged.push(endpoint);
            continue;
        };
        if let (None, Some(zone)) = (known.get_zone(), endpoint.get_zone()) {
            *known = known.clone().zone(zone);
        }
        if let (None, Some(name)) = (known.get_name(), endpoint.get_name()) {
            *known = known.clone().name(name);
        }
    }
    in_one_family(&mut merged);
    merged
}

/// A Service of both families has a Pod in two slices, but it is one engine: of its addresses with
/// the same port the IPv4 one counts.
fn in_one_family(endpoints: &mut Vec<Endpoint>) {
    let parts = |endpoint: &Endpoint| {
        let (address, port) = endpoint.get_uri().rsplit_once(':')?;
        let name = endpoint.get_name()?;
        let is_v6 = address.ends_with(']');
        Some((is_v6, (name.to_owned(), port.to_owned())))
    };
    let v4 = |endpoint| parts(endpoint).filter(|(is_v6, _)| !is_v6);
    let known: HashSet<_> = endpoints
        .iter()
        .filter_map(v4)
        .map(|(_, key)| key)
        .collect();
    endpoints.retain(|endpoint| {
        parts(endpoint).is_none_or(|(is_v6, key)| !is_v6 || !known.contains(&key))
    });
}
