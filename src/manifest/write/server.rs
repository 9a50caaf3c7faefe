//! A ModelServer's manifest.

use std::net::Ipv6Addr;

use super::yaml::Yaml;
use crate::{
    config::{Balance, HashKey, ModelServer, OutlierDetection, TrafficPolicy},
    manifest::{
        duration,
        read::server_annotations::{BALANCE, ENDPOINTS, POLICY},
        write::{Fields, annotation},
    },
    server::Endpoint,
};

/// The annotations and the spec.
pub(super) fn write(server: &ModelServer) -> (Fields, Fields) {
    let (mut annotations, mut spec) = (Vec::new(), Vec::new());
    if let Some(model) = &server.model {
        spec.push(field("model", Yaml::text(model)));
    }
    spec.push(field("inferenceEngine", Yaml::text("vLLM")));
    match static_endpoints(server) {
        Some(endpoints) if !endpoints.is_empty() => {
            spec.push(field("endpoints", Yaml::List(endpoints)));
        }
        Some(_) => spec.push(field("workloadSelector", Yaml::Map(Vec::new()))),
        None => {
            let endpoints = server.endpoints.iter().map(endpoint).collect();
            annotations.push(annotation(ENDPOINTS, Yaml::List(endpoints)));
        }
    }
    if server.balance != Balance::default() {
        annotations.push(annotation(BALANCE, balance(&server.balance)));
    }
    let policy = kthena_policy(&server.policy);
    if !policy.is_empty() {
        spec.push(field("trafficPolicy", Yaml::Map(policy)));
    }
    let policy = own_policy(&server.policy);
    if !policy.is_empty() {
        annotations.push(annotation(POLICY, Yaml::Map(policy)));
    }
    (annotations, spec)
}

/// Kthena's endpoints are addresses with ports; `None` if one of these is more than that.
fn static_endpoints(server: &ModelServer) -> Option<Vec<Yaml>> {
    (1..)
        .zip(&server.endpoints)
        .map(|(position, (uri, weight))| {
            let endpoint = Endpoint::parse(uri).ok()?;
            let plain = *weight == 1
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

fn endpoint((uri, weight): &(String, u32)) -> Yaml {
    match weight {
        1 => Yaml::text(uri),
        weight => Yaml::Map(vec![
            field("url", Yaml::text(uri)),
            field("weight", Yaml::Number((*weight).into())),
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
    if let Some(timeout) = policy.timeout {
        fields.push(field("timeout", time(timeout)));
    }
    let mut retry = Fields::new();
    if policy.max_retries != default.max_retries {
        retry.push(field("attempts", Yaml::Number(policy.max_retries.into())));
    }
    if policy.retry_interval != default.retry_interval {
        retry.push(field("retryInterval", time(policy.retry_interval)));
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
    let (given, value) = some(policy.stream_idle_timeout);
    add(given, "streamIdleTimeout", value);
    let (given, value) = some(policy.total_timeout);
    add(given, "totalTimeout", value);
    let (given, value) = some(policy.max_retry_interval);
    add(given, "maxRetryInterval", value);
    let statuses = &policy.retry_statuses;
    let numbers = statuses
        .iter()
        .map(|status| Yaml::Number(status.as_u16().into()));
    add(
        *statuses != default.retry_statuses,
        "retryStatuses",
        Yaml::List(numbers.collect()),
    );
    let most = policy.max_in_flight;
    add(
        most.is_some(),
        "maxInFlight",
        Yaml::Number(most.unwrap_or_default() as u64),
    );
    let queue = policy.max_queue;
    add(
        queue != default.max_queue,
        "maxQueue",
        Yaml::Number(queue as u64),
    );
    let queue = policy.queue_timeout;
    add(queue != default.queue_timeout, "queueTimeout", time(queue));
    let detection = outlier_detection(&policy.outlier_detection);
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
            detection.consecutive_failures,
            default.consecutive_failures,
        ),
        (
            "maxEjectionPercent",
            detection.max_ejection_percent,
            default.max_ejection_percent,
        ),
    ] {
        if given != default {
            fields.push(field(name, number(given)));
        }
    }
    for (name, given, default) in [
        (
            "baseEjectionTime",
            detection.base_ejection_time,
            default.base_ejection_time,
        ),
        (
            "maxRetryAfter",
            detection.max_retry_after,
            default.max_retry_after,
        ),
    ] {
        if given != default {
            fields.push(field(name, time(given)));
        }
    }
    if let Some(most) = detection.max_ejection_time {
        fields.push(field("maxEjectionTime", time(most)));
    }
    fields
}

fn field(name: &str, value: Yaml) -> (String, Yaml) {
    (name.to_owned(), value)
}

fn time(duration: std::time::Duration) -> Yaml {
    Yaml::text(duration::format(duration))
}
