//! The kind of a resource, and the parts of it that matter here.

use std::sync::Arc;

use super::{
    fields::{Field, Object, Reader},
    model_route::{self, RouteManifest},
    model_server,
    nearest::nearest,
    server_manifest::ServerManifest,
    workload::{self, Workload},
};

/// The group and the version of what is read.
pub(crate) const API_VERSION: &str = "networking.serving.volcano.sh/v1alpha1";
const GROUP: &str = "networking.serving.volcano.sh/";
const TOP: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];

/// The resources of a set of documents.
///
/// Nobody changes one that was read, so that a set of them is kept and combined at little cost.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resources {
    pub(crate) servers: Vec<Arc<ServerManifest>>,
    pub(crate) routes: Vec<Arc<RouteManifest>>,
    pub(crate) workloads: Vec<Arc<Workload>>,
}

impl Resources {
    /// Reads a document.
    pub(crate) fn read(&mut self, root: &Field<'_>, reader: &mut Reader<'_>) {
        self.resource(root, None, reader);
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.servers.append(&mut other.servers);
        self.routes.append(&mut other.routes);
        self.workloads.append(&mut other.workloads);
    }

    /// `inherited` are the apiVersion and the kind that a list's items need not repeat.
    fn resource(
        &mut self,
        field: &Field<'_>,
        inherited: Option<(&str, &str)>,
        reader: &mut Reader<'_>,
    ) {
        let Some(resource) = field.loose_mapping() else {
            let spot = field.spot(reader);
            let message = "this is not a Kubernetes resource: a mapping with apiVersion and kind";
            reader.error(&spot, "not-a-resource", message);
            return;
        };
        let text = |name| resource.get(name).and_then(|field| field.loose_text());
        let version = text("apiVersion").or(inherited.map(|(version, _)| version));
        let kind = text("kind").or(inherited.map(|(_, kind)| kind));
        let (Some(version), Some(kind)) = (version, kind) else {
            for (name, value) in [("apiVersion", version), ("kind", kind)] {
                if value.is_none() {
                    let spot = resource.spot(reader);
                    let message = format!("this is not a Kubernetes resource: it has no {name}");
                    reader.error(&spot, "not-a-resource", message);
                }
            }
            return;
        };
        if let (Some(of), Some(items)) = (kind.strip_suffix("List"), resource.get("items")) {
            // The items of a plain List say themselves what they are.
            let inherited = Some((version, of)).filter(|(_, kind)| !kind.is_empty());
            for item in items.loose_list() {
                self.resource(&item, inherited, reader);
            }
            return;
        }
        self.of_kind(field, &resource, version, kind, reader);
    }

    fn of_kind(
        &mut self,
        field: &Field<'_>,
        resource: &Object<'_>,
        version: &str,
        kind: &str,
        reader: &mut Reader<'_>,
    ) {
        match (version, kind) {
            (API_VERSION, "ModelRoute") => {
                if let Some(resource) = field.object(reader, &TOP) {
                    let read = model_route::read(&resource, reader);
                    self.routes.extend(read.map(Arc::new));
                }
            }
            (API_VERSION, "ModelServer") => {
                if let Some(resource) = field.object(reader, &TOP) {
                    let read = model_server::read(&resource, reader);
                    self.servers.extend(read.map(Arc::new));
                }
            }
            ("v1", "Pod") => {
                let pod = workload::pod(resource, reader);
                self.workloads.extend(pod.map(Arc::new));
            }
            ("v1", "Endpoints") => {
                let subsets = workload::endpoints(resource, reader).into_iter();
                self.workloads.extend(subsets.map(Arc::new));
            }
            ("discovery.k8s.io/v1" | "discovery.k8s.io/v1beta1", "EndpointSlice") => {
                let slice = workload::endpoint_slice(resource, reader);
                self.workloads.push(Arc::new(slice));
            }
            _ => passed_over(resource, version, kind, reader),
        }
    }
}

/// Other kinds are skipped silently, unless they look like one that should not be.
fn passed_over(resource: &Object<'_>, version: &str, kind: &str, reader: &mut Reader<'_>) {
    const OURS: [&str; 2] = ["ModelRoute", "ModelServer"];
    let ours = OURS.contains(&kind);
    let spot = resource.spot_of(reader, "kind");
    if version.starts_with(GROUP) && ours {
        let spot = resource.spot_of(reader, "apiVersion");
        let message = format!("the version {version:?} is unknown: {API_VERSION} is read");
        reader.error(&spot, "unknown-version", message);
    } else if version.starts_with(GROUP) && kind == "ExternalModelProvider" {
        let message = "ExternalModelProviders are not acted on: their endpoint, model and \
                       credentials are not used";
        reader.warning(&spot, "not-acted-on", message);
    } else if version.starts_with(GROUP) {
        match nearest(kind, OURS) {
            Some(near) => {
                let message = format!("the kind {kind:?} is unknown, did you mean {near:?}?");
                reader.error(&spot, "unknown-kind", message);
            }
            None => {
                let message = format!("the kind {kind:?} is unknown and skipped");
                reader.warning(&spot, "unknown-kind", message);
            }
        }
    } else if ours {
        let spot = resource.spot_of(reader, "apiVersion");
        let message = format!("this {kind} is skipped: its apiVersion is not {API_VERSION}");
        reader.warning(&spot, "unknown-version", message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{
        place::Source,
        yaml::{documents::documents, node},
    };

    fn read(text: &str, is_in_cluster: bool) -> Resources {
        let mut resources = Resources::default();
        let mut found = Vec::new();
        for document in documents(text) {
            let mut reader = Reader {
                source: Source {
                    file: "test".into(),
                    document: document.number,
                    is_in_cluster,
                },
                found: &mut found,
            };
            let node = node::parse(&document).unwrap();
            resources.read(&Field::root(&node), &mut reader);
        }
        resources
    }

    const RESOURCES: &str = "
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata: {name: s}
spec:
  workloadSelector: {matchLabels: {app: x}}
  workloadPort: {port: 1}
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata: {name: r, resourceVersion: \"7\"}
---
apiVersion: v1
kind: Pod
metadata: {name: whole, labels: {app: x}}
status: {podIP: 10.0.0.1, phase: Running, conditions: [{type: Ready, status: \"True\"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: no-conditions, labels: {app: x}}
status: {podIP: 10.0.0.2, phase: Running}
---
apiVersion: v1
kind: Pod
metadata: {name: no-phase, labels: {app: x}}
status: {podIP: 10.0.0.3, conditions: [{type: Ready, status: \"True\"}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s, labels: {app: x, kubernetes.io/service-name: s}}
endpoints: [{addresses: [10.0.0.4]}]
";

    fn uris(resources: &Resources) -> Vec<String> {
        let server = &resources.servers[0];
        let workloads = resources.workloads.iter();
        let own = workloads.filter(|workload| workload.serves(server));
        let endpoints = own.flat_map(|workload| workload.endpoints(server).unwrap());
        let uris = endpoints.map(|endpoint| endpoint.get_uri().to_owned());
        uris.collect()
    }

    /// In a cluster all is written down, and versions change with each update.
    #[test]
    fn clusters_are_read_more_strictly_than_files() {
        let files = read(RESOURCES, false);
        assert_eq!(
            uris(&files),
            [
                "http://10.0.0.1:1",
                "http://10.0.0.2:1",
                "http://10.0.0.3:1",
                "http://10.0.0.4:1"
            ]
        );
        assert_eq!(files.routes[0].version, Some(7));
        let cluster = read(RESOURCES, true);
        assert_eq!(uris(&cluster), ["http://10.0.0.1:1"]);
        assert_eq!(cluster.routes[0].version, None);
        let named = RESOURCES.replacen(
            "{name: s}",
            "{name: s, annotations: {tower-model-route/service: s}}",
            1,
        );
        assert_eq!(uris(&read(&named, true)), ["http://10.0.0.4:1"]);
    }
}
