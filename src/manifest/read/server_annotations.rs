//! The annotations of a ModelServer: what this crate has and Kthena's schema lacks.

use http::StatusCode;

use super::{
    balance,
    embedded::{self, Embedded},
    fields::{Field, Object, Reader},
    kubernetes,
    metadata::Metadata,
    server_manifest::ServerManifest,
};
use crate::{
    config::{Encoding, Endpoint, TrafficPolicy},
    manifest::{
        keys,
        options::{
            Access, DETECTION, ENGINE as ENGINE_SETTINGS, OUTLIER_DETECTION,
            POLICY as POLICY_SETTINGS, RETRY_STATUSES, Setting,
        },
        origin::ServerOrigin,
    },
    observe::is_secret,
};

pub(crate) const NAME: &str = "name";
pub(crate) const ENDPOINTS: &str = "endpoints";
pub(crate) const BALANCE: &str = "balance";
pub(crate) const POLICY: &str = "traffic-policy";
pub(crate) const HEADERS: &str = "headers";
pub(crate) const MAX_MODEL_LEN: &str = "max-model-len";
pub(crate) const ACCEPTS_ENCODING: &str = "accepts-encoding";
pub(crate) const ENGINE: &str = "engine";
/// The Service whose endpoints are the ModelServer's.
pub(crate) const SERVICE: &str = "service";

const KNOWN: [&str; 9] = [
    NAME,
    ENDPOINTS,
    BALANCE,
    POLICY,
    HEADERS,
    MAX_MODEL_LEN,
    ACCEPTS_ENCODING,
    ENGINE,
    SERVICE,
];

/// The name in the table, where it is not `NAMESPACE/NAME`.
pub(crate) fn name(metadata: &Metadata<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let annotations = metadata.annotations.iter();
    let mut names = annotations.filter(|(name, _)| *name == NAME);
    names.find_map(|(_, field)| embedded::name(field, reader))
}

pub(crate) fn read(
    metadata: &Metadata<'_>,
    manifest: &mut ServerManifest,
    reader: &mut Reader<'_>,
) {
    for (name, field) in &metadata.annotations {
        match *name {
            NAME => continue,
            known if KNOWN.contains(&known) => {}
            other => {
                embedded::unknown(field, other, &KNOWN, reader);
                continue;
            }
        }
        let Some(text) = Embedded::parse(field, reader) else {
            continue;
        };
        let root = text.root();
        match *name {
            ENDPOINTS => endpoints(&root, manifest, reader),
            HEADERS => headers(&root, manifest, reader),
            ACCEPTS_ENCODING => encodings(&root, manifest, reader),
            ENGINE => engine(&root, manifest, reader),
            SERVICE => service(&root, manifest, reader),
            MAX_MODEL_LEN => {
                if let Some(tokens) = root.number(reader, 1, u64::MAX) {
                    manifest.change(|server| server.max_model_len(tokens));
                }
            }
            BALANCE => {
                if let Some(balance) = balance::read(&root, reader) {
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
                let own = policy(&root, own, &mut manifest.origin, reader);
                manifest.change(|server| server.traffic_policy(own));
            }
        }
    }
}

/// The name of a Service in the ModelServer's namespace.
fn service(root: &Field<'_>, manifest: &mut ServerManifest, reader: &mut Reader<'_>) {
    let Some(name) = root.text(reader) else {
        return;
    };
    if !kubernetes::is_dns_label(name) {
        let spot = root.spot(reader);
        let message =
            format!("{name:?} is not the name of a Service in the ModelServer's namespace");
        reader.error(&spot, "invalid-name", message);
        return;
    }
    manifest.service = Some(name.to_owned());
    manifest.origin.selects_pods = true;
}

/// A URL, or a list of URLs and of `{url, weight, resolve, zone, name}`.
fn endpoints(root: &Field<'_>, manifest: &mut ServerManifest, reader: &mut Reader<'_>) {
    let fields = match root.is_list() {
        true => root.list(reader),
        false => vec![root.clone()],
    };
    for field in fields {
        if !field.is_mapping() {
            if let Some(text) = field.text(reader) {
                manifest.add_endpoint(text.into(), Some(field.spot(reader)));
            }
            continue;
        }
        let Some(object) = field.object(reader, &["url", "weight", "resolve", "zone", "name"])
        else {
            continue;
        };
        let Some(url) = object.get("url") else {
            let spot = object.spot_of(reader, "url");
            reader.error(&spot, "missing-field", "the endpoint has no url");
            continue;
        };
        if let Some(endpoint) = endpoint(&object, &url, reader) {
            manifest.add_endpoint(endpoint, Some(url.spot(reader)));
        }
    }
}

/// `None` if something of it is not what it should be.
fn endpoint(object: &Object<'_>, url: &Field<'_>, reader: &mut Reader<'_>) -> Option<Endpoint> {
    let mut endpoint = Endpoint::new(url.text(reader)?);
    if let Some(weight) = object.get("weight") {
        endpoint = endpoint.weight(weight.number(reader, 0, u32::MAX.into())? as u32);
    }
    if let Some(resolve) = object.get("resolve") {
        endpoint = endpoint.resolve(resolve.flag(reader)?);
    }
    if let Some(zone) = object.get("zone") {
        endpoint = endpoint.zone(zone.text(reader)?);
    }
    if let Some(name) = object.named("name") {
        endpoint = endpoint.name(name.text(reader)?);
    }
    Some(endpoint)
}

/// What there is to say of the engines, in one place; all but two can also stand in annotations of
/// their own.
fn engine(root: &Field<'_>, manifest: &mut ServerManifest, reader: &mut Reader<'_>) {
    let mut keys = ENGINE_SETTINGS.map(|setting| setting.key).to_vec();
    keys.extend(["acceptsEncoding", "forceUsage", "headers"]);
    let Some(object) = root.object(reader, &keys) else {
        return;
    };
    let server = manifest.server.clone();
    let server = settings(
        &object,
        &ENGINE_SETTINGS,
        server,
        &mut manifest.origin,
        reader,
    );
    manifest.change(|_| server);
    if let Some(field) = object.get("acceptsEncoding") {
        encodings(&field, manifest, reader);
    }
    if let Some(field) = object.get("forceUsage")
        && let Some(on) = field.flag(reader)
    {
        manifest.change(|server| server.force_usage(on));
        manifest.origin.add_option("forceUsage", field.spot(reader));
    }
    if let Some(field) = object.get("headers") {
        headers(&field, manifest, reader);
    }
}

/// A coding, or a list of codings.
fn encodings(root: &Field<'_>, manifest: &mut ServerManifest, reader: &mut Reader<'_>) {
    let fields = match root.is_list() {
        true => root.list(reader),
        false => vec![root.clone()],
    };
    for field in fields {
        let name = field.one_of(reader, &Encoding::ALL.map(Encoding::name));
        let known = Encoding::ALL.into_iter();
        for encoding in known.filter(|encoding| Some(encoding.name()) == name) {
            manifest.change(|server| server.accepts_encoding(encoding));
        }
    }
}

/// Names and values.
fn headers(root: &Field<'_>, manifest: &mut ServerManifest, reader: &mut Reader<'_>) {
    for (name, field, value) in root.texts(reader) {
        let spot = field.spot(reader);
        if is_secret(name) && keys::references(value).next().is_none() {
            let message = "a key does not belong in a manifest: refer to one that the program \
                           has, such as ${NAME}";
            reader.error(&spot, "literal-key", message);
            continue;
        }
        manifest.headers.push((name.to_owned(), value.to_owned()));
        manifest.origin.headers.push(spot);
    }
}

fn policy(
    root: &Field<'_>,
    policy: TrafficPolicy,
    origin: &mut ServerOrigin,
    reader: &mut Reader<'_>,
) -> TrafficPolicy {
    let mut keys = POLICY_SETTINGS.map(|setting| setting.key).to_vec();
    keys.extend([RETRY_STATUSES, OUTLIER_DETECTION]);
    let Some(object) = root.object(reader, &keys) else {
        return policy;
    };
    let mut policy = settings(&object, &POLICY_SETTINGS, policy, origin, reader);
    if let Some(field) = object.get(RETRY_STATUSES) {
        let statuses: Vec<_> = field
            .list(reader)
            .iter()
            .filter_map(|field| field.number(reader, 100, 999))
            .filter_map(|status| StatusCode::from_u16(status as u16).ok())
            .collect();
        policy = policy.retry_statuses(statuses);
        origin.add_option(RETRY_STATUSES, field.spot(reader));
    }
    if let Some(field) = object.get(OUTLIER_DETECTION)
        && let Some(object) = field.object(reader, &DETECTION.map(|setting| setting.key))
    {
        let detection = *policy.get_outlier_detection();
        policy = policy.outlier_detection(settings(&object, &DETECTION, detection, origin, reader));
    }
    policy
}

fn settings<T>(
    object: &Object<'_>,
    settings: &[Setting<T>],
    config: T,
    origin: &mut ServerOrigin,
    reader: &mut Reader<'_>,
) -> T {
    settings.iter().fold(config, |config, setting| {
        let Some(field) = object.get(setting.key) else {
            return config;
        };
        origin.add_option(setting.key, field.spot(reader));
        match setting.access {
            Access::Time(set, _) => match field.duration(reader) {
                Some(time) => set(config, time),
                None => config,
            },
            Access::Count(most, set, _) => match field.number(reader, 0, most) {
                Some(count) => set(config, count),
                None => config,
            },
            Access::Flag(set, _) => match field.flag(reader) {
                Some(flag) => set(config, flag),
                None => config,
            },
            Access::Word(known, set, _) => match field.one_of(reader, known) {
                Some(word) => set(config, word),
                None => config,
            },
        }
    })
}
