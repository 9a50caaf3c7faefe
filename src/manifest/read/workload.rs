//! `Pod`, `Endpoints` and `EndpointSlice`: where a ModelServer's engines are.

use super::{
    fields::{Field, Object, Reader, has_leading_zero},
    metadata::DEFAULT_NAMESPACE,
    server_manifest::{Port, ServerManifest},
};
use crate::config::Endpoint;

/// Addresses with the labels and the names by which a ModelServer finds them.
///
/// Of these kinds only what is needed is read; the rest is the cluster's.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    namespace: String,
    /// The resource's own name.
    name: String,
    labels: Vec<(String, String)>,
    /// The Service that it is of.
    service: Option<String>,
    is_pod: bool,
    is_in_cluster: bool,
    addresses: Vec<Found>,
    /// The port that the addresses serve on, if that is known.
    port: Option<u16>,
}

/// An address, and what the resource says about it.
#[derive(Clone, Debug)]
struct Found {
    address: String,
    zone: Option<String>,
    /// The name of its Pod.
    pod: Option<String>,
}

impl Workload {
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its names: its own and that of its Service, or none if it is a Pod.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let own = Some(&self.name).filter(|_| !self.is_pod);
        let service = self.service.as_ref();
        let other = service.filter(|service| Some(*service) != own);
        own.into_iter().chain(other).map(String::as_str)
    }

    pub(crate) fn labels(&self) -> &[(String, String)] {
        &self.labels
    }

    /// Whether these are engines of the ModelServer, in its namespace: of the Service that it names,
    /// or else with all of its labels, or its name.
    ///
    /// In a cluster a Pod is selected by labels, and a Service by its name in an annotation: that a
    /// Service is called like a ModelServer means nothing there.
    pub(crate) fn serves(&self, server: &ServerManifest) -> bool {
        if self.namespace != server.namespace {
            return false;
        }
        match &server.service {
            Some(_) => self.service == server.service,
            None if self.is_pod => server.selects(&self.labels),
            None if self.is_in_cluster => false,
            None => {
                let name = Some(&server.name);
                server.selects(&self.labels)
                    || Some(&self.name) == name
                    || self.service.as_ref() == name
            }
        }
    }

    /// The endpoints, with the port of the ModelServer or else that of the workload; `None` without
    /// one.
    pub(crate) fn endpoints(&self, server: &ServerManifest) -> Option<Vec<Endpoint>> {
        let port = match server.port {
            Port::Of(port) => port.into(),
            Port::Missing => self.port?.into(),
            Port::Wrong => return Some(Vec::new()),
        };
        let endpoint = |found: &Found| {
            let mut endpoint = Endpoint::new(server.uri(&found.address, port));
            if let Some(zone) = &found.zone {
                endpoint = endpoint.zone(zone);
            }
            if let Some(pod) = &found.pod {
                endpoint = endpoint.name(pod);
            }
            endpoint
        };
        Some(self.addresses.iter().map(endpoint).collect())
    }
}

/// A Pod that runs, is ready and has an address.
pub(crate) fn pod(resource: &Object<'_>, reader: &mut Reader<'_>) -> Option<Workload> {
    let status = resource
        .get("status")
        .and_then(|status| status.loose_mapping())?;
    let is_in_cluster = reader.source.is_in_cluster;
    if !is_ready(&status, is_in_cluster) || deleted(resource) {
        return None;
    }
    let mut workload = workload(resource, reader);
    workload.is_pod = true;
    // The first of podIPs, which a cluster always writes here too.
    let address = text(&status, "podIP");
    let found = address.map(|address| Found {
        address,
        zone: None,
        pod: Some(workload.name.clone()).filter(|name| !name.is_empty()),
    });
    workload.addresses.extend(found);
    if workload.addresses.is_empty() {
        let spot = status.spot_of(reader, "podIP");
        reader.warning(&spot, "no-address", "the Pod is ready but has no podIP");
    }
    Some(workload)
}

/// It runs, and has the condition `Ready`; in a file, what is not written down is not held against
/// it.
///
/// A Pod that has ended or is lost (`Succeeded`, `Failed`, `Unknown`) may still have the condition.
fn is_ready(status: &Object<'_>, is_in_cluster: bool) -> bool {
    let conditions = items(status, "conditions");
    let ready = |condition: &Object<'_>| {
        text(condition, "type").as_deref() == Some("Ready")
            && text(condition, "status").as_deref() == Some("True")
    };
    let phase = text(status, "phase");
    phase.map_or(!is_in_cluster, |phase| phase == "Running")
        && ((conditions.is_empty() && !is_in_cluster) || conditions.iter().any(ready))
}

fn deleted(resource: &Object<'_>) -> bool {
    mapping(resource, "metadata")
        .is_some_and(|metadata| metadata.get("deletionTimestamp").is_some())
}

/// An Endpoints resource, one workload for each subset; addresses that are not ready do not count.
pub(crate) fn endpoints(resource: &Object<'_>, reader: &Reader<'_>) -> Vec<Workload> {
    let all = workload(resource, reader);
    let found = |address: &Object<'_>| {
        Some(Found {
            address: text(address, "ip").or_else(|| text(address, "hostname"))?,
            zone: None,
            pod: pod_name(address),
        })
    };
    items(resource, "subsets")
        .iter()
        .map(|subset| Workload {
            // It is called like its Service.
            service: Some(all.name.clone()),
            addresses: items(subset, "addresses")
                .iter()
                .filter_map(found)
                .collect(),
            port: port(&items(subset, "ports")),
            ..all.clone()
        })
        .collect()
}

/// An EndpointSlice; where it is not said whether an endpoint is ready, it is.
pub(crate) fn endpoint_slice(resource: &Object<'_>, reader: &Reader<'_>) -> Workload {
    let mut workload = workload(resource, reader);
    // A slice has a name of its own, and the Service's as a label.
    let mut labels = workload.labels.iter();
    let service = labels.find(|(name, _)| name == "kubernetes.io/service-name");
    workload.service = service.map(|(_, service)| service.clone());
    workload.port = port(&items(resource, "ports"));
    for endpoint in items(resource, "endpoints") {
        let ready =
            mapping(&endpoint, "conditions").and_then(|conditions| text(&conditions, "ready"));
        if ready.as_deref().is_none_or(|ready| ready == "true") {
            let (zone, pod) = (zone(&endpoint), pod_name(&endpoint));
            let addresses = endpoint.get("addresses");
            let addresses = addresses.iter().flat_map(Field::loose_list);
            workload.addresses.extend(addresses.filter_map(|address| {
                Some(Found {
                    address: address.loose_text()?.to_owned(),
                    zone: zone.clone(),
                    pod: pod.clone(),
                })
            }));
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

/// The name of the Pod that an endpoint is.
fn pod_name(endpoint: &Object<'_>) -> Option<String> {
    let target = mapping(endpoint, "targetRef")?;
    let is_pod = text(&target, "kind").as_deref() == Some("Pod");
    text(&target, "name").filter(|_| is_pod)
}

/// What all have in common.
fn workload(resource: &Object<'_>, reader: &Reader<'_>) -> Workload {
    let metadata = mapping(resource, "metadata");
    let metadata = metadata.as_ref();
    let labels = metadata.and_then(|metadata| mapping(metadata, "labels"));
    Workload {
        namespace: metadata
            .and_then(|metadata| text(metadata, "namespace"))
            .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
        name: metadata
            .and_then(|metadata| text(metadata, "name"))
            .unwrap_or_default(),
        labels: labels.map_or_else(Vec::new, |labels| {
            let fields = labels.all_fields().into_iter();
            fields.filter_map(label).collect()
        }),
        service: None,
        is_pod: false,
        is_in_cluster: reader.source.is_in_cluster,
        addresses: Vec::new(),
        port: None,
    }
}

/// One that is left blank is the empty text, as Go reads it.
fn label((name, field): (&str, Field<'_>)) -> Option<(String, String)> {
    let value = match field.is_blank() {
        true => "",
        false => field.loose_text()?,
    };
    Some((name.to_owned(), value.to_owned()))
}

/// The only port, or of several the one named `http`, or else the first.
fn port(ports: &[Object<'_>]) -> Option<u16> {
    let named = ports
        .iter()
        .find(|port| text(port, "name").as_deref() == Some("http"));
    let port = text(named.or(ports.first())?, "port")?;
    port.parse().ok().filter(|_| !has_leading_zero(&port))
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
