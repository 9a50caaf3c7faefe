//! The way back: from a table to manifests.

mod names;
mod route;
mod server;
mod yaml;

use std::collections::HashMap;

use self::{
    names::{KubernetesName, names},
    yaml::Yaml,
};
use super::read::{metadata::PREFIX, resource::API_VERSION};
use crate::route::RouteTable;

impl RouteTable {
    /// Writes the table as manifests: a YAML document for each ModelServer and each ModelRoute.
    ///
    /// [`Manifests::from_yaml`](crate::manifest::Manifests::from_yaml) reads
    /// the same table from it. Endpoints stand in `spec.endpoints`, as in
    /// Kthena's standalone mode; what Kthena's schema has no field for stands
    /// in annotations (see the [module](crate::manifest)). Three things are
    /// not in the table and are filled in: the `inferenceEngine`, which is
    /// always `vLLM`, labels, and times; where the routes' names do not give
    /// their order, a `resourceVersion` does.
    pub fn to_yaml(&self) -> String {
        let config = self.config();
        let (servers, routes) = names(config);
        let in_order =
            routes.is_sorted_by_key(|route| (route.namespace.clone(), route.name.clone()));
        let local: HashMap<&str, &str> = config
            .get_model_servers()
            .iter()
            .zip(&servers)
            .map(|(server, name)| (server.get_name(), &*name.name))
            .collect();
        let servers = config
            .get_model_servers()
            .iter()
            .zip(&servers)
            .map(|(config, name)| {
                let (annotations, spec) = server::write(config);
                resource("ModelServer", name, None, annotations, spec)
            });
        let routes = (1..).zip(config.get_model_routes().iter().zip(&routes));
        let routes = routes.map(|(position, (config, name))| {
            let (annotations, spec) = route::write(config, &local);
            let version = (!in_order).then_some(position);
            resource("ModelRoute", name, version, annotations, spec)
        });
        let mut out = String::new();
        for document in servers.chain(routes) {
            out.push_str(if out.is_empty() { "" } else { "---\n" });
            document.write(&mut out);
        }
        out
    }
}

type Fields = Vec<(String, Yaml)>;

fn resource(
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

fn annotation(name: &str, value: Yaml) -> (String, Yaml) {
    (format!("{PREFIX}{name}"), Yaml::Embedded(Box::new(value)))
}
