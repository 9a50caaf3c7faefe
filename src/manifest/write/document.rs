//! One document: a resource with its metadata.

use super::{names::KubernetesName, yaml::Yaml};
use crate::manifest::read::{metadata::PREFIX, resource::API_VERSION};

pub(super) type Fields = Vec<(String, Yaml)>;

pub(super) fn resource(
    kind: &str,
    name: &KubernetesName,
    version: Option<u64>,
    mut annotations: Fields,
    spec: Fields,
) -> Yaml {
    if let Some(name) = &name.table_name {
        annotations.insert(0, (format!("{PREFIX}name"), Yaml::text(name)));
    }
    let mut metadata = vec![
        ("name".to_owned(), Yaml::text(&name.name)),
        ("namespace".to_owned(), Yaml::text(&name.namespace)),
    ];
    if let Some(version) = version {
        let version = Yaml::text(version.to_string());
        metadata.push(("resourceVersion".to_owned(), version));
    }
    if !annotations.is_empty() {
        metadata.push(("annotations".to_owned(), Yaml::Map(annotations)));
    }
    Yaml::Map(vec![
        ("apiVersion".to_owned(), Yaml::text(API_VERSION)),
        ("kind".to_owned(), Yaml::text(kind)),
        ("metadata".to_owned(), Yaml::Map(metadata)),
        ("spec".to_owned(), Yaml::Map(spec)),
    ])
}

pub(super) fn annotation(name: &str, value: Yaml) -> (String, Yaml) {
    (format!("{PREFIX}{name}"), Yaml::Embedded(Box::new(value)))
}
