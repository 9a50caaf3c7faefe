//! The annotations of a ModelServer: what this crate has and Kthena's schema has not.

use std::time::Duration;

use http::StatusCode;

use super::{
    embedded::{self, Embedded},
    fields::{Field, Object, Reader},
    metadata::Metadata,
    server_manifest::ServerManifest,
};
use crate::config::{Balance, HashKey, OutlierDetection, TrafficPolicy};

pub(crate) const NAME: &str = "name";
pub(crate) const ENDPOINTS: &str = "endpoints";
pub(crate) const BALANCE: &str = "balance";
pub(crate) const POLICY: &str = "traffic-policy";

/// The name in the table, where it is not `NAMESPACE/NAME`.
pub(crate) fn name(metadata: &Metadata<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let mut names = metadata.extras.iter().filter(|(name, _)| *name == NAME);
    names.find_map(|(_, field)| embedded::name(field, reader))
}

pub(crate) fn read(
    metadata: &Metadata<'_>,
    manifest: &mut ServerManifest,
    reader: &mut Reader<'_>,
) {
    for (name, field) in &metadata.extras {
        match *name {
            NAME => continue,
            ENDPOINTS | BALANCE | POLICY => {}
            other => {
                let known = [NAME, ENDPOINTS, BALANCE, POLICY];
                embedded::unknown(field, other, &known, reader);
                continue;
            }
        }
        let Some(text) = Embedded::parse(field, reader) else {
            continue;
        };
        let root = text.root();
        match *name {
            ENDPOINTS => endpoints(&root, manifest, reader),
            BALANCE => {
                if let Some(balance) = balance(&root, reader) {
                    manifest.change(|server| server.balance(balance));
                    manifest.origin.balance = Some(root.spot(reader));
                }
            }
            _ => {
                manifest
                    .origin
                    .policy
                    .get_or_insert_with(|| root.spot(reader));
                let own = manifest.server.get_traffic_policy().clone();
                let own = policy(&root, own, reader);
                manifest.change(|server| server.traffic_policy(own));
            }
        }
    }
}

/// A URL, or a list of URLs and of `{url, weight}`.
fn endpoints(root: &Field<'_>, manifest: &mut ServerManifest, reader: &mut Reader<'_>) {
    let fields = match root.is_list() {
        true => root.list(reader),
        false => vec![root.clone()],
    };
    for field in fields {
        let mut weight = 1;
        let url = if field.is_mapping() {
            let Some(object) = field.object(reader, &["url", "weight"]) else {
                continue;
            };
            if let Some(field) = object.get("weight") {
                let Some(given) = field.number(reader, 0, u32::MAX.into()) else {
                    continue;
                };
                weight = given as u32;
            }
            let Some(url) = object.get("url") else {
                let spot = object.spot_of(reader, "url");
                reader.error(&spot, "missing-field", "the endpoint has no url");
                continue;
            };
            url
        } else {
            field
        };
        if let Some(text) = url.text(reader) {
            manifest.add_endpoint(text.to_owned(), weight, Some(url.spot(reader)));
        }
    }
}

/// One of the names of [`Balance`], or one of its two with a key.
fn balance(root: &Field<'_>, reader: &mut Reader<'_>) -> Option<Balance> {
    if !root.is_mapping() {
        let known = ["LeastRequest", "RoundRobin", "Random", "PeakEwma"];
        return Some(match root.one_of(reader, &known)? {
            "LeastRequest" => Balance::LeastRequest,
            "RoundRobin" => Balance::RoundRobin,
            "Random" => Balance::Random,
            _ => Balance::PeakEwma,
        });
    }
    let object = root.object(reader, &["ConsistentHash", "PrefixHash"])?;
    let (hash, prefix) = (object.get("ConsistentHash"), object.get("PrefixHash"));
    match (hash, prefix) {
        (Some(field), None) => hash_key(&field, reader).map(Balance::ConsistentHash),
        (None, Some(field)) => {
            let bytes = field.number(reader, 1, u32::MAX.into())?;
            Some(Balance::PrefixHash(bytes as usize))
        }
        _ => {
            let spot = root.spot(reader);
            let message = "it is either a ConsistentHash or a PrefixHash";
            reader.error(&spot, "invalid-value", message);
            None
        }
    }
}

fn hash_key(field: &Field<'_>, reader: &mut Reader<'_>) -> Option<HashKey> {
    if field.is_mapping() {
        let object = field.object(reader, &["Header"])?;
        let Some(header) = object.get("Header") else {
            let spot = object.spot_of(reader, "Header");
            reader.error(&spot, "missing-field", "there is no Header to hash");
            return None;
        };
        return header
            .text(reader)
            .map(|name| HashKey::Header(name.to_owned()));
    }
    Some(
        match field.one_of(reader, &["ClientAddr", "User", "SessionId"])? {
            "ClientAddr" => HashKey::ClientAddr,
            "User" => HashKey::User,
            _ => HashKey::SessionId,
        },
    )
}

const POLICY_FIELDS: [&str; 8] = [
    "streamIdleTimeout",
    "totalTimeout",
    "maxRetryInterval",
    "retryStatuses",
    "maxInFlight",
    "maxQueue",
    "queueTimeout",
    "outlierDetection",
];

fn policy(root: &Field<'_>, mut policy: TrafficPolicy, reader: &mut Reader<'_>) -> TrafficPolicy {
    let Some(object) = root.object(reader, &POLICY_FIELDS) else {
        return policy;
    };
    if let Some(time) = duration(&object, "streamIdleTimeout", reader) {
        policy = policy.stream_idle_timeout(time);
    }
    if let Some(time) = duration(&object, "totalTimeout", reader) {
        policy = policy.total_timeout(time);
    }
    if let Some(time) = duration(&object, "maxRetryInterval", reader) {
        policy = policy.max_retry_interval(time);
    }
    if let Some(time) = duration(&object, "queueTimeout", reader) {
        policy = policy.queue_timeout(time);
    }
    if let Some(requests) = number(&object, "maxInFlight", reader) {
        policy = policy.max_in_flight(requests);
    }
    if let Some(requests) = number(&object, "maxQueue", reader) {
        policy = policy.max_queue(requests);
    }
    if let Some(field) = object.get("retryStatuses") {
        let statuses: Vec<_> = field
            .list(reader)
            .iter()
            .filter_map(|field| field.number(reader, 100, 999))
            .filter_map(|status| StatusCode::from_u16(status as u16).ok())
            .collect();
        policy = policy.retry_statuses(statuses);
    }
    if let Some(field) = object.get("outlierDetection") {
        let detection = *policy.get_outlier_detection();
        policy = policy.outlier_detection(outlier_detection(&field, detection, reader));
    }
    policy
}

fn outlier_detection(
    field: &Field<'_>,
    mut detection: OutlierDetection,
    reader: &mut Reader<'_>,
) -> OutlierDetection {
    const FIELDS: [&str; 5] = [
        "consecutiveFailures",
        "baseEjectionTime",
        "maxEjectionTime",
        "maxEjectionPercent",
        "maxRetryAfter",
    ];
    let Some(object) = field.object(reader, &FIELDS) else {
        return detection;
    };
    if let Some(field) = object.get("consecutiveFailures")
        && let Some(failures) = field.number(reader, 0, u32::MAX.into())
    {
        detection = detection.consecutive_failures(failures as u32);
    }
    if let Some(field) = object.get("maxEjectionPercent")
        && let Some(percent) = field.number(reader, 0, u32::MAX.into())
    {
        detection = detection.max_ejection_percent(percent as u32);
    }
    if let Some(time) = duration(&object, "baseEjectionTime", reader) {
        detection = detection.base_ejection_time(time);
    }
    if let Some(time) = duration(&object, "maxEjectionTime", reader) {
        detection = detection.max_ejection_time(time);
    }
    if let Some(time) = duration(&object, "maxRetryAfter", reader) {
        detection = detection.max_retry_after(time);
    }
    detection
}

fn duration(object: &Object<'_>, name: &str, reader: &mut Reader<'_>) -> Option<Duration> {
    object.get(name)?.duration(reader)
}

fn number(object: &Object<'_>, name: &str, reader: &mut Reader<'_>) -> Option<usize> {
    let number = object.get(name)?.number(reader, 0, u64::MAX)?;
    usize::try_from(number).ok()
}
