//! `Pod`, `Endpoints` and `EndpointSlice`: where a ModelServer's engines are.

use super::{
    fields::{Field, Object, Reader},
    metadata::DEFAULT_NAMESPACE,
    server_manifest::ServerManifest,
};
use crate::config::Endpoint;

/// Addresses with the labels and the name by which a ModelServer finds them.
///
/// Of these kinds only what is needed is read; the rest is the cluster's.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    namespace: String,
    /// Empty for a Pod, which is found by its labels only.
    names: Vec<String>,
    labels: Vec<(String, String)>,
    /// Each with its zone, if that is said.
    addresses: Vec<(String, Option<String>)>,
    /// The port that the addresses serve on, if that is known.
    port: Option<u16>,
}

impl Workload {
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    pub(crate) fn labels(&self) -> &[(String, String)] {
        &self.labels
    }

    /// Whether these are engines of the ModelServer: in its namespace, with its name or all of
    /// its labels.
    pub(crate) fn serves(&self, server: &ServerManifest) -> bool {
        let labelled = !server.labels.is_empty()
            && server
                .labels
                .iter()
                .all(|label| self.labels.contains(label));
        self.namespace == server.namespace && (labelled || self.names.contains(&server.name))
    }

    /// The endpoints, with the port of the ModelServer or else that of the workload; `None` without
    /// one.
    pub(crate) fn endpoints(&self, server: &ServerManifest) -> Option<Vec<Endpoint>> {
        let port = server.port.or(self.port)?.into();
        let endpoint = |(address, zone): &(String, Option<String>)| {
            let endpoint = Endpoint::new(server.uri(address, port));
            match zone {
                Some(zone) => endpoint.zone(zone),
                None => endpoint,
            }
        };
        Some(self.addresses.iter().map(endpoint).collect())
    }
}

/// A Pod that runs, is ready and has an address.
pub(crate) fn pod(resource: &Object<'_>, reader: &mut Reader<'_>) -> Option<Workload> {
    let mut workload = workload(resource);
    workload.names.clear();
    let status = resource
        .get("status")
        .and_then(|status| status.loose_mapping())?;
    if !is_ready(&status) || deleted(resource) {
        return None;
    }
    let address = text(&status, "podIP");
    workload
        .addresses
        .extend(address.map(|address| (address, None)));
    if workload.addresses.is_empty() {
        let spot = status.spot_of(reader, "podIP");
        reader.warning(&spot, "no-address", "the Pod is ready but has no podIP");
    }
    Some(workload)
}

/// It runs, and has the condition `Ready`; what is not written down is not held against it.
///
/// A Pod that has ended or is lost (`Succeeded`, `Failed`, `Unknown`) may still have the condition.
fn is_ready(status: &Object<'_>) -> bool {
    let conditions = items(status, "conditions");
    let ready = |condition: &Object<'_>| {
        text(condition, "type").as_deref() == Some("Ready")
            && text(condition, "status").as_deref() == Some("True")
    };
    text(status, "phase").is_none_or(|phase| phase == "Running")
        && (conditions.is_empty() || conditions.iter().any(ready))
}

fn deleted(resource: &Object<'_>) -> bool {
    mapping(resource, "metadata")
        .is_some_and(|metadata| metadata.get("deletionTimestamp").is_some())
}

/// An Endpoints resource, one workload for each subset; addresses that are not ready do not count.
pub(crate) fn endpoints(resource: &Object<'_>) -> Vec<Workload> {
    items(resource, "subsets")
        .iter()
        .map(|subset| Workload {
            addresses: items(subset, "addresses")
                .iter()
                .filter_map(|address| text(address, "ip").or_else(|| text(address, "hostname")))
                .map(|address| (address, None))
                .collect(),
            port: port(&items(subset, "ports")),
            ..workload(resource)
        })
        .collect()
}

/// An EndpointSlice; where it is not said whether an endpoint is ready, it is.
pub(crate) fn endpoint_slice(resource: &Object<'_>) -> Workload {
    let mut workload = workload(resource);
    // A slice has a name of its own, and the Service's as a label.
    let service = workload
        .labels
        .iter()
        .find(|(name, _)| name == "kubernetes.io/service-name")
        .map(|(_, service)| service.clone());
    workload.names.extend(service);
    workload.port = port(&items(resource, "ports"));
    for endpoint in items(resource, "endpoints") {
        let ready =
            mapping(&endpoint, "conditions").and_then(|conditions| text(&conditions, "ready"));
        if ready.as_deref().is_none_or(|ready| ready == "true") {
            let (addresses, zone) = (endpoint.get("addresses"), zone(&endpoint));
            let addresses = addresses.iter().flat_map(Field::loose_list);
            let addresses =
                addresses.filter_map(|it| Some((it.loose_text()?.to_owned(), zone.clone())));
            workload.addresses.extend(addresses);
        }
    }
    workload
}

/// The zone for whose clients an endpoint is meant, or else that it is in.
///
/// Where topology-aware routing is on, the cluster hints at one zone for each endpoint, such that
/// each zone has its share.
fn zone(endpoint: &Object<'_>) -> Option<String> {
    let hints = mapping(endpoint, "hints");
    let zones = hints.map(|hints| items(&hints, "forZones"));
    let hinted = zones.and_then(|zones| text(zones.first()?, "name"));
    hinted.or_else(|| text(endpoint, "zone"))
}

fn workload(resource: &Object<'_>) -> Workload {
    let metadata = mapping(resource, "metadata");
    let metadata = metadata.as_ref();
    let labels = metadata.and_then(|metadata| mapping(metadata, "labels"));
    Workload {
        namespace: metadata
            .and_then(|metadata| text(metadata, "namespace"))
            .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
        names: metadata
            .and_then(|metadata| text(metadata, "name"))
            .into_iter()
            .collect(),
        labels: labels.map_or_else(Vec::new, |labels| {
            labels
                .fields()
                .into_iter()
                .filter_map(|(name, field)| Some((name.to_owned(), field.loose_text()?.to_owned())))
                .collect()
        }),
        addresses: Vec::new(),
        port: None,
    }
}

/// The only port, or of several the one named `http`, or else the first.
fn port(ports: &[Object<'_>]) -> Option<u16> {
    let named = ports
        .iter()
        .find(|port| text(port, "name").as_deref() == Some("http"));
    text(named.or(ports.first())?, "port")?.parse().ok()
}

fn mapping<'n>(object: &Object<'n>, name: &str) -> Option<Object<'n>> {
    object.get(name)?.loose_mapping()
}

fn items<'n>(object: &Object<'n>, name: &str) -> Vec<Object<'n>> {
    let field = object.get(name);
    field
        .iter()
        .flat_map(Field::loose_list)
        .filter_map(|item| item.loose_mapping())
        .collect()
}

fn text(object: &Object<'_>, name: &str) -> Option<String> {
    object
        .get(name)?
        .loose_text()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}
