//! Which workloads are a ModelServer's.

use std::{collections::HashMap, sync::Arc};

use super::read::{server_manifest::ServerManifest, workload::Workload};

/// Workloads by what ModelServers find them by, so that not each of these looks at all of those.
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
