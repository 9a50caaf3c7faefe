//! The kinds that are watched, and the parts of their objects that are kept.

use std::fmt::Debug;

use serde_json::{Map, Value};

/// A kind of a cluster's objects, as its API server names it.
pub(super) trait Kind: Clone + Debug + Send + Sync + 'static {
    const GROUP: &'static str;
    const VERSION: &'static str;
    const KIND: &'static str;
    const PLURAL: &'static str;
    /// Of each object, what is taken from the server's answer; the rest is skipped unread.
    const PARTS: &'static [&'static str];
    /// A field selector for the wanted objects.
    const FIELDS: Option<&'static str> = None;
    /// Whether the labels that are set choose among them.
    const IS_CHOSEN: bool = false;

    /// Removes what has no influence on a table, and would cost memory and rebuilds.
    fn trim(object: &mut Map<String, Value>);
}

#[derive(Clone, Debug)]
pub(super) struct ModelRoute;

#[derive(Clone, Debug)]
pub(super) struct ModelServer;

#[derive(Clone, Debug)]
pub(super) struct Pod;

#[derive(Clone, Debug)]
pub(super) struct EndpointSlice;

impl Kind for ModelRoute {
    const GROUP: &'static str = "networking.serving.volcano.sh";
    const VERSION: &'static str = "v1alpha1";
    const KIND: &'static str = "ModelRoute";
    const PLURAL: &'static str = "modelroutes";
    const PARTS: &'static [&'static str] = &["spec"];
    const IS_CHOSEN: bool = true;

    fn trim(object: &mut Map<String, Value>) {
        keep_own_annotations(object);
    }
}

impl Kind for ModelServer {
    const GROUP: &'static str = ModelRoute::GROUP;
    const VERSION: &'static str = ModelRoute::VERSION;
    const KIND: &'static str = "ModelServer";
    const PLURAL: &'static str = "modelservers";
    const PARTS: &'static [&'static str] = &["spec"];
    const IS_CHOSEN: bool = true;

    fn trim(object: &mut Map<String, Value>) {
        keep_own_annotations(object);
    }
}

impl Kind for Pod {
    const GROUP: &'static str = "";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "Pod";
    const PLURAL: &'static str = "pods";
    const PARTS: &'static [&'static str] = &["status"];
    // Pods that have ended, of Jobs for example, are many in some clusters and serve nobody.
    const FIELDS: Option<&'static str> = Some("status.phase=Running");

    fn trim(object: &mut Map<String, Value>) {
        keep(
            object.get_mut("metadata"),
            &["name", "namespace", "labels", "deletionTimestamp"],
        );
        let status = object.get_mut("status");
        let Some(Value::Object(status)) = keep(status, &["phase", "podIP", "conditions"]) else {
            return;
        };
        if let Some(Value::Array(conditions)) = status.get_mut("conditions") {
            conditions.retain(|condition| condition["type"] == "Ready");
            for condition in conditions {
                // Not when it was last looked at, which changes all the time.
                keep(Some(condition), &["type", "status"]);
            }
        }
    }
}

impl Kind for EndpointSlice {
    const GROUP: &'static str = "discovery.k8s.io";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "EndpointSlice";
    const PLURAL: &'static str = "endpointslices";
    const PARTS: &'static [&'static str] = &["endpoints", "ports"];

    fn trim(object: &mut Map<String, Value>) {
        keep(
            object.get_mut("metadata"),
            &["name", "namespace", "labels", "deletionTimestamp"],
        );
        if let Some(Value::Array(endpoints)) = object.get_mut("endpoints") {
            const PARTS: [&str; 5] = ["addresses", "conditions", "hints", "targetRef", "zone"];
            for endpoint in endpoints {
                keep(Some(endpoint), &PARTS);
            }
        }
    }
}

/// What a route or a ModelServer is ordered and named by, and the annotations that are read.
fn keep_own_annotations(object: &mut Map<String, Value>) {
    const PARTS: [&str; 4] = ["name", "namespace", "creationTimestamp", "annotations"];
    let metadata = keep(object.get_mut("metadata"), &PARTS);
    if let Some(Value::Object(annotations)) = metadata.and_then(|it| it.get_mut("annotations")) {
        annotations.retain(|name, _| name.starts_with("tower-model-route/"));
    }
}

fn keep<'v>(value: Option<&'v mut Value>, parts: &[&str]) -> Option<&'v mut Value> {
    let value = value?;
    if let Value::Object(object) = value {
        object.retain(|name, _| parts.contains(&name.as_str()));
    }
    Some(value)
}
