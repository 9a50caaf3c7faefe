//! What all Kubernetes resources have in common.

use super::{
    fields::{Field, Object, Reader},
    kthena, kubernetes, timestamp,
};
use crate::manifest::place::Spot;

/// The namespace of what does not name one.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

const METADATA: [&str; 16] = [
    "name",
    "namespace",
    "labels",
    "annotations",
    "creationTimestamp",
    "resourceVersion",
    "uid",
    "generation",
    "managedFields",
    "ownerReferences",
    "finalizers",
    "generateName",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "clusterName",
];

/// `metadata`, as far as it matters here.
#[derive(Debug)]
pub(crate) struct Metadata<'n> {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) name_spot: Spot,
    /// Seconds and nanoseconds; what has none is older than all that have one, as in Kthena.
    pub(crate) created: Option<(i64, u32)>,
    pub(crate) version: Option<u128>,
    /// This crate's own, by their names without the prefix.
    pub(crate) annotations: Vec<(&'n str, Field<'n>)>,
}

/// The prefix of this crate's own annotations.
pub(crate) const PREFIX: &str = "tower-model-route/";

/// `None` where it has no name: that is an error.
pub(crate) fn read<'n>(resource: &Object<'n>, reader: &mut Reader<'_>) -> Option<Metadata<'n>> {
    let Some(field) = resource.get("metadata") else {
        let spot = resource.spot_of(reader, "metadata");
        reader.error(&spot, "missing-field", "it has no metadata, and so no name");
        return None;
    };
    let metadata = field.object(reader, &METADATA)?;
    let name_spot = metadata.spot_of(reader, "name");
    let name = match metadata.get("name") {
        Some(field) => field.text(reader)?,
        None => {
            reader.error(&name_spot, "missing-field", "it has no name");
            return None;
        }
    };
    check_name(name, &name_spot, reader);
    let namespace = match metadata.get("namespace") {
        Some(field) => {
            let spot = field.spot(reader);
            let text = field.text(reader).unwrap_or_default();
            check_name(text, &spot, reader);
            text
        }
        None => DEFAULT_NAMESPACE,
    };
    if let Some(labels) = metadata.get("labels") {
        kthena::labels(&labels, reader);
    }
    let mut own = Vec::new();
    if let Some(annotations) = metadata.get("annotations") {
        for (name, field, _) in annotations.texts(reader) {
            if let Some(name) = name.strip_prefix(PREFIX) {
                own.push((name, field));
            }
        }
    }
    Some(Metadata {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        created: created(&metadata, reader),
        version: version(&metadata, reader),
        name_spot,
        annotations: own,
    })
}

/// A slash would let one namespace name another's; the rest of Kubernetes' rule is a warning.
fn check_name(name: &str, spot: &Spot, reader: &mut Reader<'_>) {
    if name.is_empty() || name.contains('/') {
        let message = format!("{name:?} is not a name: it must not be empty or have a slash");
        reader.error(spot, "invalid-name", message);
    } else if !kubernetes::is_name(name) {
        let message = format!(
            "Kubernetes would refuse the name {name:?}: only small letters, digits, '-' and '.'"
        );
        reader.warning(spot, "invalid-name", message);
    }
}

fn created(metadata: &Object<'_>, reader: &mut Reader<'_>) -> Option<(i64, u32)> {
    let field = metadata.get("creationTimestamp")?;
    let text = field.text(reader)?;
    let created = timestamp::parse(text);
    if created.is_none() {
        let spot = field.spot(reader);
        let message = format!("{text:?} is not a time such as \"2025-01-31T12:00:00Z\"");
        reader.error(&spot, "invalid-value", message);
    }
    created
}

/// Kubernetes compares them as numbers, though they are texts. That of an object in a cluster
/// changes with each update, and so says nothing about its age.
fn version(metadata: &Object<'_>, reader: &mut Reader<'_>) -> Option<u128> {
    if reader.source.is_in_cluster {
        return None;
    }
    let field = metadata.get("resourceVersion")?;
    let text = field.loose_text().or_else(|| field.text(reader))?;
    let version = text.parse().ok();
    if version.is_none() {
        let spot = field.spot(reader);
        let message = format!("{text:?} is not a number: it does not count for the order");
        reader.warning(&spot, "invalid-value", message);
    }
    version
}
