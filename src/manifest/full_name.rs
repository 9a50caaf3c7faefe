//! `NAMESPACE/NAME`: the name of a resource across namespaces.

/// The full name of a resource.
pub(super) fn join(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// The namespace and the name; `None` if it has no namespace.
pub(super) fn split(full_name: &str) -> Option<(&str, &str)> {
    full_name.split_once('/')
}
