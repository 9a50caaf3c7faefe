//! A ModelServer's manifest.

use std::net::Ipv6Addr;

use super::yaml::Yaml;
use crate::{
    config::{
        Address, Balance, Endpoint, HashKey, ModelServer, OutlierDetection, TrafficPolicy, format,
    },
    manifest::{
        read::server_annotations::{BALANCE, ENDPOINTS, POLICY},
        write::document::{Fields, annotation},
    },
};

/// The annotations and the spec.
pub(super) fn write(server: &ModelServer) -> (Fields, Fields) {
    let (mut annotations, mut spec) = (Vec::new(), Vec::new());
    if let Some(model) = server.get_model() {
        spec.push(field("model", Yaml::text(model)));
    }
    spec.push(field("inferenceEngine", Yaml::text("vLLM")));
    match static_endpoints(server) {
        Some(endpoints) if !endpoints.is_empty() => {
            spec.push(field("endpoints", Yaml::List(endpoints)));
        }
        Some(_) => spec.push(field("workloadSelector", Yaml::Map(Vec::new()))),
        None => {
            let endpoints = server.get_endpoints().iter().map(endpoint).collect();
            annotations.push(annotation(ENDPOINTS, Yaml::List(endpoints)));
        }
    }
    if *server.get_balance() != Balance::default() {
        annotations.push(annotation(BALANCE, balance(server.get_balance())));
    }
    let policy = kthena_policy(server.get_traffic_policy());
    if !policy.is_empty() {
        spec.push(field("trafficPolicy", Yaml::Map(policy)));
    }
    let policy = own_policy(server.get_traffic_policy());
    if !policy.is_empty() {
        annotations.push(annotation(POLICY, Yaml::Map(policy)));
    }
    (annotations, spec)
}

/// Kthena's endpoints are addresses with ports; `None` if one of these is more than that.
fn static_endpoints(server: &ModelServer) -> Option<Vec<Yaml>> {
    (1..)
        .zip(server.get_endpoints())
        .map(|(position, config)| {
            let endpoint = Address::parse(config.get_uri()).ok()?;
            let plain = config.get_weight() == 1
                && endpoint.scheme == http::uri::Scheme::HTTP
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
            let port = endpoint.authority.port_u16().unwrap_or(80);
            plain.then(|| {
                Yaml::Map(vec![
                    field("name", Yaml::text(format!("endpoint-{position}"))),
                    field("address", Yaml::text(address)),
                    field("port", Yaml::Number(port.into())),
                ])
            })
        })
        .collect()
}

fn endpoint(endpoint: &Endpoint) -> Yaml {
    let uri = Yaml::text(endpoint.get_uri());
    match endpoint.get_weight() {
        1 => uri,
        weight => Yaml::Map(vec![
            field("url", uri),
            field("weight", Yaml::Number(weight.into())),
        ]),
    }
}

fn balance(balance: &Balance) -> Yaml {
    let hash = |key| Yaml::field("ConsistentHash", key);
    match balance {
        Balance::LeastRequest => Yaml::text("LeastRequest"),
        Balance::RoundRobin => Yaml::text("RoundRobin"),
        Balance::Random => Yaml::text("Random"),
        Balance::PeakEwma => Yaml::text("PeakEwma"),
        Balance::ConsistentHash(key) => hash(match key {
            HashKey::Header(name) => Yaml::field("Header", Yaml::text(name)),
            HashKey::ClientAddr => Yaml::text("ClientAddr"),
            HashKey::User => Yaml::text("User"),
            HashKey::SessionId => Yaml::text("SessionId"),
        }),
        Balance::PrefixHash(bytes) => Yaml::field("PrefixHash", Yaml::Number(*bytes as u64)),
    }
}

fn kthena_policy(policy: &TrafficPolicy) -> Fields {
    let default = TrafficPolicy::default();
    let mut fields = Fields::new();
    if let Some(timeout) = policy.get_timeout() {
        fields.push(field("timeout", time(timeout)));
    }
    let mut retry = Fields::new();
    if policy.get_max_retries() != default.get_max_retries() {
        retry.push(field(
            "attempts",
            Yaml::Number(policy.get_max_retries().into()),
        ));
    }
    if policy.get_retry_interval() != default.get_retry_interval() {
        retry.push(field("retryInterval", time(policy.get_retry_interval())));
    }
    if !retry.is_empty() {
        fields.push(field("retry", Yaml::Map(retry)));
    }
    fields
}

fn own_policy(policy: &TrafficPolicy) -> Fields {
    let default = TrafficPolicy::default();
    let mut fields = Fields::new();
    let mut add = |given: bool, name: &str, value: Yaml| {
        if given {
            fields.push(field(name, value));
        }
    };
    let some = |value: Option<_>| (value.is_some(), time(value.unwrap_or_default()));
    let (given, value) = some(policy.get_stream_idle_timeout());
    add(given, "streamIdleTimeout", value);
    let (given, value) = some(policy.get_total_timeout());
    add(given, "totalTimeout", value);
    let longest = policy.get_max_retry_interval();
    let implied = TrafficPolicy::new().retry_interval(policy.get_retry_interval());
    add(
        longest != implied.get_max_retry_interval(),
        "maxRetryInterval",
        time(longest),
    );
    let statuses = policy.get_retry_statuses();
    let numbers = statuses
        .iter()
        .map(|status| Yaml::Number(status.as_u16().into()));
    add(
        statuses != default.get_retry_statuses(),
        "retryStatuses",
        Yaml::List(numbers.collect()),
    );
    let most = policy.get_max_in_flight();
    add(
        most.is_some(),
        "maxInFlight",
        Yaml::Number(most.unwrap_or_default() as u64),
    );
    let queue = policy.get_max_queue();
    add(
        queue != default.get_max_queue(),
        "maxQueue",
        Yaml::Number(queue as u64),
    );
    let queue = policy.get_queue_timeout();
    add(
        queue != default.get_queue_timeout(),
        "queueTimeout",
        time(queue),
    );
    let detection = outlier_detection(policy.get_outlier_detection());
    add(
        !detection.is_empty(),
        "outlierDetection",
        Yaml::Map(detection),
    );
    fields
}

fn outlier_detection(detection: &OutlierDetection) -> Fields {
    let default = OutlierDetection::default();
    let mut fields = Fields::new();
    let number = |number: u32| Yaml::Number(number.into());
    for (name, given, default) in [
        (
            "consecutiveFailures",
            detection.get_consecutive_failures(),
            default.get_consecutive_failures(),
        ),
        (
            "maxEjectionPercent",
            detection.get_max_ejection_percent(),
            default.get_max_ejection_percent(),
        ),
    ] {
        if given != default {
            fields.push(field(name, number(given)));
        }
    }
    for (name, given, default) in [
        (
            "baseEjectionTime",
            detection.get_base_ejection_time(),
            default.get_base_ejection_time(),
        ),
        (
            "maxRetryAfter",
            detection.get_max_retry_after(),
            default.get_max_retry_after(),
        ),
    ] {
        if given != default {
            fields.push(field(name, time(given)));
        }
    }
    let longest = detection.get_max_ejection_time();
    let implied = OutlierDetection::new().base_ejection_time(detection.get_base_ejection_time());
    if longest != implied.get_max_ejection_time() {
        fields.push(field("maxEjectionTime", time(longest)));
    }
    fields
}

fn field(name: &str, value: Yaml) -> (String, Yaml) {
    (name.to_owned(), value)
}

fn time(duration: std::time::Duration) -> Yaml {
    Yaml::text(format(duration))
}
