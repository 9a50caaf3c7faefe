//! A ModelServer's manifest.

use std::{collections::HashSet, net::Ipv6Addr};

use http::uri::Scheme;
use serde::{Serialize, Serializer};

use super::{
    document::Annotations,
    policy::{self, KthenaPolicy, Settings},
};
use crate::{
    config::{Address, Balance, Endpoint, ModelServer},
    manifest::read::{
        engines::made_up_name,
        kubernetes::is_name,
        server_annotations::{
            ACCEPTS_ENCODING, BALANCE, ENDPOINTS, ENGINE, HEADERS, MAX_MODEL_LEN, POLICY,
        },
    },
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerSpec<'t> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'t str>,
    inference_engine: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    workload_selector: Option<Selector>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    endpoints: Vec<StaticEndpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traffic_policy: Option<KthenaPolicy>,
}

/// It selects nothing.
#[derive(Serialize)]
struct Selector {}

#[derive(Serialize)]
struct StaticEndpoint {
    name: String,
    address: String,
    port: u16,
}

#[derive(Serialize)]
#[serde(untagged)]
enum AnyEndpoint<'t> {
    Plain(&'t str),
    Told {
        url: &'t str,
        #[serde(skip_serializing_if = "Option::is_none")]
        weight: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        resolve: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        zone: Option<&'t str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'t str>,
    },
}

/// With references in place of the values.
struct Headers<'t>(&'t ModelServer);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.get_headers())
    }
}

/// The annotations and the spec.
pub(super) fn write(server: &ModelServer) -> (Annotations, ServerSpec<'_>) {
    let mut annotations = Annotations::default();
    let endpoints = static_endpoints(server);
    if endpoints.is_none() {
        let endpoints = server.get_endpoints().iter().map(any_endpoint);
        annotations.add(ENDPOINTS, &endpoints.collect::<Vec<_>>());
    }
    let balance = server.get_balance();
    if *balance != Balance::default() {
        annotations.add(BALANCE, balance);
    }
    let policy = server.get_traffic_policy();
    if let Some(settings) = Settings::of(policy) {
        annotations.add(POLICY, &settings);
    }
    if server.get_headers().next().is_some() {
        annotations.add(HEADERS, &Headers(server));
    }
    if let Some(tokens) = server.get_max_model_len() {
        annotations.add(MAX_MODEL_LEN, &tokens);
    }
    if !server.get_accepts_encodings().is_empty() {
        annotations.add(ACCEPTS_ENCODING, &server.get_accepts_encodings());
    }
    if let Some(settings) = Settings::of_engine(server) {
        annotations.add(ENGINE, &settings);
    }
    let spec = ServerSpec {
        model: server.get_model(),
        inference_engine: "vLLM",
        workload_selector: server.get_endpoints().is_empty().then_some(Selector {}),
        endpoints: endpoints.unwrap_or_default(),
        traffic_policy: policy::kthena(policy),
    };
    (annotations, spec)
}

/// Kthena's endpoints are addresses with ports, each with a name of its own; `None` if one of these
/// is more than that, or has a name that can't be there.
fn static_endpoints(server: &ModelServer) -> Option<Vec<StaticEndpoint>> {
    let endpoints = (1..).zip(server.get_endpoints());
    let mut names = HashSet::new();
    endpoints
        .map(|(position, config)| {
            let endpoint = Address::parse(config.get_uri()).ok()?;
            let made_up = made_up_name(position);
            let name = match config.get_name() {
                Some(name) if is_name(name) && *name != made_up => name.to_owned(),
                Some(_) => return None,
                None => made_up,
            };
            let named = Endpoint::new(config.get_uri());
            let named = match config.get_name() {
                Some(name) => named.name(name),
                None => named,
            };
            let plain = *config == named
                && names.insert(name.clone())
                && endpoint.scheme == Scheme::HTTP
                && endpoint.prefix.is_empty();
            let host = endpoint.authority.host();
            let address = match host
                .strip_prefix('[')
                .and_then(|host| host.strip_suffix(']'))
            {
                // Addresses have several spellings, and the reader has one.
                Some(address) => {
                    let parsed: Ipv6Addr = address.parse().ok()?;
                    Some(address).filter(|address| parsed.to_string() == *address)?
                }
                None => host,
            };
            plain.then(|| StaticEndpoint {
                name,
                address: address.to_owned(),
                port: endpoint.authority.port_u16().unwrap_or(80),
            })
        })
        .collect()
}

fn any_endpoint(endpoint: &Endpoint) -> AnyEndpoint<'_> {
    let url = endpoint.get_uri();
    if *endpoint == Endpoint::new(url) {
        return AnyEndpoint::Plain(url);
    }
    AnyEndpoint::Told {
        url,
        weight: Some(endpoint.get_weight()).filter(|weight| *weight != 1),
        resolve: Some(endpoint.get_resolve()).filter(|resolve| *resolve),
        zone: endpoint.get_zone(),
        name: endpoint.get_name(),
    }
}
