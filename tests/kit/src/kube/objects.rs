//! Objects as JSON, and where they are in the API.

use serde_json::Value;

/// Each document of some YAML, read and as it is.
pub fn documents(yaml: &str) -> Vec<(Value, String)> {
    yaml.split("\n---\n")
        .map(|text| (serde_saphyr::from_str::<Value>(text), text))
        .map(|(value, text)| (value.unwrap(), text.to_owned()))
        .filter(|(value, _)| !value.is_null())
        .collect()
}

/// The path of the objects of its kind, in the namespace if they have one.
pub(super) fn path(object: &Value, namespace: &str) -> String {
    let (api, kind) = (
        object["apiVersion"].as_str().expect("an apiVersion"),
        object["kind"].as_str().expect("a kind"),
    );
    let root = if api.contains('/') { "apis" } else { "api" };
    let plural = match kind.to_lowercase() {
        kind if kind.ends_with('y') => format!("{}ies", &kind[..kind.len() - 1]),
        kind => format!("{kind}s"),
    };
    match kind {
        "Namespace" | "ClusterRole" | "ClusterRoleBinding" | "CustomResourceDefinition" => {
            format!("/{root}/{api}/{plural}")
        }
        _ => format!("/{root}/{api}/namespaces/{namespace}/{plural}"),
    }
}

/// Of the kinds that tests name without more.
pub(super) fn api_version(kind: &str) -> &'static str {
    match kind {
        "ModelRoute" | "ModelServer" => "networking.serving.volcano.sh/v1alpha1",
        "EndpointSlice" => "discovery.k8s.io/v1",
        "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding" => {
            "rbac.authorization.k8s.io/v1"
        }
        "Deployment" => "apps/v1",
        _ => "v1",
    }
}
