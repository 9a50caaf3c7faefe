//! One document: a resource with its metadata.

use serde::{Serialize, Serializer};
use serde_saphyr::LitString;

use super::names::KubernetesName;
use crate::manifest::read::{metadata::PREFIX, resource::API_VERSION};

/// A resource as `kubectl` shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document<'t, S> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'t>,
    spec: S,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'t> {
    name: &'t str,
    namespace: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_version: Option<String>,
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    annotations: Annotations,
}

/// What Kthena's schema has no field for, in its order.
#[derive(Default)]
pub(super) struct Annotations(Vec<(String, Annotation)>);

#[derive(Serialize)]
#[serde(untagged)]
enum Annotation {
    Text(String),
    /// YAML as a text, in a block scalar: people can read it there.
    Yaml(LitString),
}

impl<'t, S: Serialize> Document<'t, S> {
    pub(super) fn new(
        kind: &'static str,
        name: &'t KubernetesName,
        version: Option<u64>,
        mut annotations: Annotations,
        spec: S,
    ) -> Self {
        if let Some(name) = &name.table_name {
            let name = (format!("{PREFIX}name"), Annotation::Text(name.clone()));
            annotations.0.insert(0, name);
        }
        Self {
            api_version: API_VERSION,
            kind,
            metadata: Metadata {
                name: &name.name,
                namespace: &name.namespace,
                resource_version: version.map(|version| version.to_string()),
                annotations,
            },
            spec,
        }
    }

    pub(super) fn to_yaml(&self) -> String {
        to_yaml(self)
    }
}

impl Annotations {
    pub(super) fn add(&mut self, name: &str, value: &impl Serialize) {
        let yaml = Annotation::Yaml(LitString(to_yaml(value)));
        self.0.push((format!("{PREFIX}{name}"), yaml));
    }

    pub(super) fn add_text(&mut self, name: &str, text: &str) {
        let text = Annotation::Text(text.to_owned());
        self.0.push((format!("{PREFIX}{name}"), text));
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Annotations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Structs, lists and strings can always be written; only writers fail, and a `String` does not.
fn to_yaml(value: &impl Serialize) -> String {
    serde_saphyr::to_string(value).unwrap_or_default()
}
