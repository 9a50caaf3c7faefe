//! Where a ModelServer's engines are: its selector, its port, and its own endpoints.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use super::{
    fields::{Field, Object, Reader},
    kthena, kubernetes,
    server_manifest::{DecodeGroup, Port, ServerManifest},
};
use crate::config::{Address, Endpoint};

impl ServerManifest {
    /// The fields of a spec that say so.
    pub(super) fn read_engines(&mut self, spec: &Object<'_>, reader: &mut Reader<'_>) {
        self.read_port(spec, reader);
        if let Some(field) = spec.get("workloadSelector") {
            self.read_selector(&field, reader);
        }
        self.origin.selects_pods = !self.labels.is_empty();
        let own = spec.get("endpoints");
        let endpoints = spec.list("endpoints", reader);
        let mut seen = Seen::default();
        for field in &endpoints {
            self.read_endpoint(field, &mut seen, reader);
        }
        match (
            own.filter(|_| !endpoints.is_empty()),
            self.labels.is_empty(),
        ) {
            (Some(field), has_no_labels) => {
                kthena::at_most(&field, endpoints.len(), 1024, "endpoints", reader);
                if !has_no_labels {
                    let spot = field.spot(reader);
                    let reason = "endpoints and matchLabels exclude each other";
                    kthena::refused(reader, &spot, reason);
                }
            }
            (None, has_no_labels) => {
                if has_no_labels {
                    let spot = spec.spot_of(reader, "workloadSelector");
                    let reason = "neither matchLabels nor endpoints say where its engines are";
                    kthena::refused(reader, &spot, reason);
                }
                if spec.get("workloadPort").is_none() {
                    let reason = "there is no workloadPort";
                    kthena::refused(reader, &self.port_spot, reason);
                }
            }
        }
    }

    fn read_port(&mut self, spec: &Object<'_>, reader: &mut Reader<'_>) {
        self.port_spot = spec.spot_of(reader, "workloadPort");
        let Some(field) = spec.get("workloadPort") else {
            return;
        };
        self.port = Port::Wrong;
        let Some(object) = field.object(reader, &["port", "protocol"]) else {
            return;
        };
        match object.get("port") {
            Some(port) => self.port = port_number(&port, reader),
            None => {
                let spot = object.spot_of(reader, "port");
                reader.error(&spot, "missing-field", "the workloadPort has no port");
            }
        }
        if let Some(protocol) = object.get("protocol") {
            self.https = protocol.one_of(reader, &["http", "https"]) == Some("https");
        }
    }

    fn read_selector(&mut self, field: &Field<'_>, reader: &mut Reader<'_>) {
        let Some(selector) = field.object(reader, &["matchLabels", "pdGroup"]) else {
            return;
        };
        if let Some(labels) = selector.get("matchLabels") {
            self.labels = owned(kthena::labels(&labels, reader));
        }
        if let Some(field) = selector.get("pdGroup") {
            let message = "prefill and decode are not separated: each request goes to one of the \
                           decode Pods and to no prefill Pod, and sessionSticky pins no pairs";
            reader.not_acted_on(&field, message);
            self.decode = disaggregation(&field, reader);
        }
    }

    /// An endpoint of Kthena's standalone mode.
    fn read_endpoint<'n>(
        &mut self,
        field: &Field<'n>,
        seen: &mut Seen<'n>,
        reader: &mut Reader<'_>,
    ) {
        let Some(object) = field.object(reader, &["name", "address", "port", "labels"]) else {
            return;
        };
        let name = endpoint_name(&object, &mut seen.names, reader);
        let port = match object.get("port") {
            Some(port) => port_number(&port, reader),
            None => self.port,
        };
        let takes_requests = self.takes_requests(&object, reader);
        let Some(address) = object.get("address") else {
            let spot = object.spot_of(reader, "address");
            reader.error(&spot, "missing-field", "the endpoint has no address");
            return;
        };
        let Some(text) = address.text(reader) else {
            return;
        };
        kthena::text(&address, "an IP address or a DNS name", is_host, reader);
        let port = match port {
            Port::Of(port) => port,
            Port::Wrong => return,
            Port::Missing => {
                let spot = object.spot_of(reader, "port");
                let message = "there is no port, here or in the workloadPort";
                reader.error(&spot, "missing-field", message);
                return;
            }
        };
        if !takes_requests {
            return;
        }
        let uri = self.uri(text, port.into());
        let normal = Address::parse(&uri).map_or_else(|_| uri.as_str().into(), |it| it.uri);
        if !seen.uris.insert(normal) {
            let spot = address.spot(reader);
            let message = "an earlier endpoint has this address and port: this one is ignored";
            reader.warning(&spot, "duplicate-endpoint", message);
            return;
        }
        let endpoint = Endpoint::new(uri);
        let position = self.server.get_endpoints().len() + 1;
        // The schema asks for one, even where the table has none.
        let name = name.filter(|name| *name != made_up_name(position));
        let endpoint = match name {
            Some(name) => endpoint.name(name),
            None => endpoint,
        };
        self.add_endpoint(endpoint, Some(address.spot(reader)));
    }

    /// Whether an endpoint does more than prefill, judged by its labels if it has any.
    fn takes_requests(&self, endpoint: &Object<'_>, reader: &mut Reader<'_>) -> bool {
        let Some(field) = endpoint.get("labels") else {
            return true;
        };
        let labels = owned(kthena::labels(&field, reader));
        let Some(group) = &self.decode else {
            let message = "they only say which role an endpoint has in a pdGroup";
            reader.not_acted_on(&field, message);
            return true;
        };
        group.has(&labels)
    }
}

/// What the endpoints of a ModelServer have in common with those before.
#[derive(Default)]
struct Seen<'n> {
    names: HashSet<&'n str>,
    uris: HashSet<Arc<str>>,
}

fn port_number(field: &Field<'_>, reader: &mut Reader<'_>) -> Port {
    let port = field.number(reader, 1, u16::MAX.into());
    let port = port.and_then(|port| u16::try_from(port).ok());
    port.map_or(Port::Wrong, Port::Of)
}

/// What [`to_yaml`](crate::RouteTable::to_yaml) calls the endpoint at a position, from 1, that has no
/// name.
pub(crate) fn made_up_name(position: usize) -> String {
    format!("endpoint-{position}")
}

fn owned(labels: Vec<(&str, &str)>) -> Vec<(String, String)> {
    let labels = labels.into_iter();
    let owned = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    owned.collect()
}

/// Each has a name of its own, that Kubernetes takes.
fn endpoint_name<'n>(
    object: &Object<'n>,
    names: &mut HashSet<&'n str>,
    reader: &mut Reader<'_>,
) -> Option<&'n str> {
    kthena::required(object, "name", reader);
    let field = object.named("name")?;
    kthena::text(&field, "a DNS name", kubernetes::is_name, reader);
    let name = field.loose_text()?;
    if !names.insert(name) {
        let spot = field.spot(reader);
        kthena::refused(
            reader,
            &spot,
            format!("there is already an endpoint {name:?}"),
        );
    }
    Some(name)
}

/// An address, or a name in the DNS, where case does not count.
fn is_host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || kubernetes::is_name(&text.to_ascii_lowercase())
}

/// A `pdGroup`.
fn disaggregation(field: &Field<'_>, reader: &mut Reader<'_>) -> Option<DecodeGroup> {
    const DECODE: &str = "decodeLabels";
    const GROUP: [&str; 4] = ["groupKey", "prefillLabels", DECODE, "encodeLabels"];
    let object = field.object(reader, &GROUP)?;
    let mut group = DecodeGroup::default();
    kthena::required(&object, "groupKey", reader);
    if let Some(field) = object.named("groupKey") {
        group.key = field.text(reader).unwrap_or_default().to_owned();
    }
    for name in &GROUP[1..] {
        let field = object.get(name);
        let labels = field.map_or_else(Vec::new, |field| kthena::labels(&field, reader));
        if labels.is_empty() && *name != "encodeLabels" {
            let spot = object.spot_of(reader, name);
            kthena::refused(reader, &spot, format!("there are no {name}"));
        }
        if *name == DECODE {
            group.labels = owned(labels);
        }
    }
    Some(group)
}
