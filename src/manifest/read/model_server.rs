//! A `ModelServer` manifest.

use super::{
    fields::{Object, Reader},
    kthena, metadata, server_annotations,
    server_manifest::{Port, ServerManifest},
};
use crate::{
    config::{ModelServer, TrafficPolicy},
    manifest::{full_name, options::kthenas_retries, origin::ServerOrigin},
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
        server: ModelServer::new(name).traffic_policy(kthenas_retries(TrafficPolicy::new())),
        labels: Vec::new(),
        decode: None,
        service: None,
        port: Port::Missing,
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
            kthena::length(&field, 256, reader);
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
                let reason = "there is no inferenceEngine: vLLM or SGLang";
                kthena::refused(reader, &spot, reason);
            }
        }
        self.read_engines(spec, reader);
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
            let known = ["vllm-epd", "sglang-epd", "pd-disaggregated"];
            kthena::one_of(&field, &known, reader);
        }
    }
}
