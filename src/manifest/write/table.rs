//! A table as manifests.

use std::collections::HashMap;

use super::{document::Document, names::names, route, server};
use crate::{
    config::{ModelRoute, WithoutModel},
    manifest::read::route_annotations::WITHOUT_MODEL,
    route::RouteTable,
};

impl RouteTable {
    /// Writes the table as manifests: a YAML document for each ModelServer and each ModelRoute.
    ///
    /// [`Manifests::from_yaml`](crate::manifest::Manifests::from_yaml) reads
    /// the same table from it. Endpoints are in `spec.endpoints`, as in
    /// Kthena's standalone mode; what Kthena's schema has no field for is in
    /// annotations (see the [module](crate::manifest)). Three things are not in
    /// the table and are filled in: the `inferenceEngine`, which is always
    /// `vLLM`, labels, and times. If the routes' names do not give their order,
    /// a `resourceVersion` does.
    ///
    /// Of [`session_sticky`](crate::TrafficPolicy::session_sticky) only the time and Kthena's
    /// sources are written, of [`without_model`](crate::RouteTableBuilder::without_model) only
    /// [`Route`](crate::WithoutModel::Route). The rest of these, the paths, passwords and the retry
    /// budget must be set by the program.
    ///
    /// Manifests use Go's regular expressions. A pattern that means something
    /// else there, such as `\d`, which in Rust matches the digits of all
    /// scripts, is written into an annotation as `rustRegex`, which Kthena
    /// ignores.
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
        let servers = config.get_model_servers().iter().zip(&servers);
        let servers = servers.map(|(config, name)| {
            let (annotations, spec) = server::write(config);
            Document::new("ModelServer", name, None, annotations, spec).to_yaml()
        });
        let without_model = config.get_without_model();
        let takes_unnamed = |route: &ModelRoute| matches!(without_model, Some(WithoutModel::Route(name)) if name == route.get_name());
        let routes = (1..).zip(config.get_model_routes().iter().zip(&routes));
        let routes = routes.map(|(position, (config, name))| {
            let (mut annotations, spec) = route::write(config, &local);
            if takes_unnamed(config) {
                annotations.add_text(WITHOUT_MODEL, "true");
            }
            let version = (!in_order).then_some(position);
            Document::new("ModelRoute", name, version, annotations, spec).to_yaml()
        });
        servers.chain(routes).collect::<Vec<_>>().join("---\n")
    }
}
