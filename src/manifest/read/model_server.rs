//! A `ModelServer` manifest.

use super::{
    fields::{Field, Object, Reader},
    metadata, server_annotations,
    server_manifest::ServerManifest,
};
use crate::{
    config::ModelServer,
    manifest::{full_name, origin::ServerOrigin},
};

const SPEC: [&str; 8] = [
    "model",
    "inferenceEngine",
    "workloadSelector",
    "workloadPort",
    "endpoints",
    "trafficPolicy",
    "kvConnector",
    "pipelineMode",
];

pub(crate) fn read(resource: &Object<'_>, reader: &mut Reader<'_>) -> Option<ServerManifest> {
    let metadata = metadata::read(resource, reader)?;
    let name = server_annotations::name(&metadata, reader)
        .unwrap_or_else(|| full_name::join(&metadata.namespace, &metadata.name));
    let mut manifest = ServerManifest {
        server: ModelServer::new(name),
        labels: Vec::new(),
        port: None,
        https: false,
        headers: Vec::new(),
        origin: ServerOrigin::new(metadata.name_spot.clone()),
        port_spot: metadata.name_spot.clone(),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
    };
    match resource.get("spec") {
        Some(spec) => {
            if let Some(spec) = spec.object(reader, &SPEC) {
                manifest.read_spec(&spec, reader);
            }
        }
        None => {
            let spot = resource.spot_of(reader, "spec");
            reader.error(&spot, "missing-field", "it has no spec");
        }
    }
    server_annotations::read(&metadata, &mut manifest, reader);
    Some(manifest)
}

impl ServerManifest {
    fn read_spec(&mut self, spec: &Object<'_>, reader: &mut Reader<'_>) {
        if let Some(field) = spec.get("model")
            && let Some(model) = field.text(reader)
        {
            self.change(|server| server.model(model));
            self.origin.model = Some(field.spot(reader));
        }
        match spec.get("inferenceEngine") {
            // Both speak the same protocol: nothing depends on it.
            Some(field) => {
                field.one_of(reader, &["vLLM", "SGLang"]);
            }
            None => {
                let spot = spec.spot_of(reader, "inferenceEngine");
                let message = "Kthena asks for an inferenceEngine: vLLM or SGLang";
                reader.warning(&spot, "missing-field", message);
            }
        }
        self.read_port(spec, reader);
        if let Some(field) = spec.get("workloadSelector") {
            self.read_selector(&field, reader);
        }
        for field in spec.list("endpoints", reader) {
            self.read_endpoint(&field, reader);
        }
        if let Some(field) = spec.get("trafficPolicy") {
            self.read_policy(&field, reader);
        }
        if let Some(field) = spec.get("kvConnector") {
            let message = "prefill and decode are not separated: each request goes to one endpoint";
            reader.not_acted_on(&field, message);
            if let Some(connector) = field.object(reader, &["type"])
                && let Some(kind) = connector.get("type")
            {
                kind.one_of(reader, &["http", "lmcache", "nixl", "mooncake"]);
            }
        }
        if let Some(field) = spec.get("pipelineMode") {
            let message = "stages are not separated: each request goes to one endpoint";
            reader.not_acted_on(&field, message);
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
            for (name, _, value) in labels.texts(reader) {
                self.labels.push((name.to_owned(), value.to_owned()));
            }
        }
        if let Some(field) = selector.get("pdGroup") {
            let message = "prefill and decode are not separated: each request goes to one of all \
                           the endpoints that matchLabels selects";
            reader.not_acted_on(&field, message);
            const GROUP: [&str; 4] = ["groupKey", "prefillLabels", "decodeLabels", "encodeLabels"];
            if let Some(group) = field.object(reader, &GROUP) {
                for name in &GROUP[1..] {
                    if let Some(labels) = group.get(name) {
                        labels.texts(reader);
                    }
                }
            }
        }
    }

    /// An endpoint of Kthena's standalone mode.
    fn read_endpoint(&mut self, field: &Field<'_>, reader: &mut Reader<'_>) {
        let Some(object) = field.object(reader, &["name", "address", "port", "labels"]) else {
            return;
        };
        let port = match object.get("port") {
            Some(port) => port.number(reader, 1, 65_535),
            None => self.port.map(u64::from),
        };
        if let Some(labels) = object.get("labels") {
            let message = "they only say which role an endpoint has in a pdGroup";
            reader.not_acted_on(&labels, message);
        }
        let Some(address) = object.get("address") else {
            let spot = object.spot_of(reader, "address");
            reader.error(&spot, "missing-field", "the endpoint has no address");
            return;
        };
        let Some(text) = address.text(reader) else {
            return;
        };
        let Some(port) = port else {
            if object.get("port").is_none() {
                let spot = object.spot_of(reader, "port");
                let message = "there is no port, here or in the workloadPort";
                reader.error(&spot, "missing-field", message);
            }
            return;
        };
        let uri = self.uri(text, port);
        self.add_endpoint(uri, 1, Some(address.spot(reader)));
    }

    fn read_policy(&mut self, field: &Field<'_>, reader: &mut Reader<'_>) {
        let Some(policy) = field.object(reader, &["timeout", "retry", "connectionPool"]) else {
            return;
        };
        self.origin.policy = Some(field.spot(reader));
        let mut own = self.server.get_traffic_policy().clone();
        if let Some(timeout) = policy.get("timeout")
            && let Some(time) = timeout.duration(reader)
        {
            if time.is_zero() {
                let spot = timeout.spot(reader);
                reader.warning(&spot, "no-timeout", "a timeout of 0 is taken for none");
            } else {
                own = own.timeout(time);
                self.origin.add_option("timeout", timeout.spot(reader));
            }
        }
        if let Some(retry) = policy.get("retry")
            && let Some(retry) = retry.object(reader, &["attempts", "retryInterval"])
        {
            if let Some(attempts) = retry.get("attempts")
                && let Some(attempts) = attempts.number(reader, 0, i32::MAX as u64)
            {
                own = own.max_retries(attempts as u32);
            }
            if let Some(field) = retry.get("retryInterval")
                && let Some(interval) = field.duration(reader)
            {
                own = own.retry_interval(interval);
                self.origin.add_option("retryInterval", field.spot(reader));
            }
        }
        self.change(|server| server.traffic_policy(own));
        if let Some(pool) = policy.get("connectionPool") {
            let message = "connections are those of the HTTP client, and are configured there";
            reader.not_acted_on(&pool, message);
        }
    }
}
