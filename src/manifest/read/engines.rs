//! Where a ModelServer's engines are: its selector, its port, and its own endpoints.

use std::{collections::HashSet, net::IpAddr};

use super::{
    fields::{Field, Object, Reader},
    kthena, kubernetes,
    server_manifest::ServerManifest,
};

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
        let mut names = HashSet::new();
        for field in &endpoints {
            self.read_endpoint(field, &mut names, reader);
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
        let Some(object) = field.object(reader, &["port", "protocol"]) else {
            return;
        };
        match object.get("port") {
            Some(port) => {
                let port = port.number(reader, 1, 65_535);
                self.port = port.and_then(|port| u16::try_from(port).ok());
            }
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
            for (name, value) in kthena::labels(&labels, reader) {
                self.labels.push((name.to_owned(), value.to_owned()));
            }
        }
        if let Some(field) = selector.get("pdGroup") {
            let message = "prefill and decode are not separated: each request goes to one of all \
                           the endpoints that matchLabels selects, and sessionSticky pins no pairs";
            reader.not_acted_on(&field, message);
            disaggregation(&field, reader);
        }
    }

    /// An endpoint of Kthena's standalone mode.
    fn read_endpoint<'n>(
        &mut self,
        field: &Field<'n>,
        names: &mut HashSet<&'n str>,
        reader: &mut Reader<'_>,
    ) {
        let Some(object) = field.object(reader, &["name", "address", "port", "labels"]) else {
            return;
        };
        endpoint_name(&object, names, reader);
        let port = match object.get("port") {
            Some(port) => port.number(reader, 1, 65_535),
            None => self.port.map(u64::from),
        };
        if let Some(labels) = object.get("labels") {
            let message = "they only say which role an endpoint has in a pdGroup";
            reader.not_acted_on(&labels, message);
            kthena::labels(&labels, reader);
        }
        let Some(address) = object.get("address") else {
            let spot = object.spot_of(reader, "address");
            reader.error(&spot, "missing-field", "the endpoint has no address");
            return;
        };
        let Some(text) = address.text(reader) else {
            return;
        };
        kthena::text(&address, "an IP address or a DNS name", is_host, reader);
        let Some(port) = port else {
            if object.get("port").is_none() {
                let spot = object.spot_of(reader, "port");
                let message = "there is no port, here or in the workloadPort";
                reader.error(&spot, "missing-field", message);
            }
            return;
        };
        let uri = self.uri(text, port);
        self.add_endpoint(uri.into(), Some(address.spot(reader)));
    }
}

/// Each has a name of its own, that Kubernetes takes.
fn endpoint_name<'n>(object: &Object<'n>, names: &mut HashSet<&'n str>, reader: &mut Reader<'_>) {
    kthena::required(object, "name", reader);
    let Some(field) = object.named("name") else {
        return;
    };
    kthena::text(&field, "a DNS name", kubernetes::is_name, reader);
    if let Some(name) = field.loose_text()
        && !names.insert(name)
    {
        let spot = field.spot(reader);
        kthena::refused(
            reader,
            &spot,
            format!("there is already an endpoint {name:?}"),
        );
    }
}

/// An address, or a name in the DNS, where case does not count.
fn is_host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || kubernetes::is_name(&text.to_ascii_lowercase())
}

/// A `pdGroup`: what separates prefill from decode.
fn disaggregation(field: &Field<'_>, reader: &mut Reader<'_>) {
    const GROUP: [&str; 4] = ["groupKey", "prefillLabels", "decodeLabels", "encodeLabels"];
    let Some(group) = field.object(reader, &GROUP) else {
        return;
    };
    kthena::required(&group, "groupKey", reader);
    for name in &GROUP[1..] {
        let labels = group.get(name);
        let count = labels.map_or(0, |labels| kthena::labels(&labels, reader).len());
        if count == 0 && *name != "encodeLabels" {
            let spot = group.spot_of(reader, name);
            kthena::refused(reader, &spot, format!("there are no {name}"));
        }
    }
}
