//! A Gateway of Kubernetes, and which ModelRoutes belong to it.

use super::{
    diagnostic::{Diagnostic, Severity},
    full_name,
};
use crate::manifest::read::{
    kubernetes::{is_dns_label, is_name},
    model_route::RouteManifest,
};

/// A Gateway of Kubernetes' Gateway API, and its listener if it is about one only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gateway {
    namespace: String,
    name: String,
    section: Option<String>,
}

impl Gateway {
    /// `NAMESPACE/NAME` or `NAMESPACE/NAME/SECTION`; `None` if it is neither.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        let (namespace, name) = (parts.next()?, parts.next()?);
        let section = parts.next();
        let is_valid = is_dns_label(namespace) && is_name(name) && section.is_none_or(is_name);
        is_valid.then(|| Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            section: section.map(str::to_owned),
        })
    }

    /// Whether Kthena's router would serve the route through it.
    ///
    /// A route with `parentRefs` belongs to the Gateways that they name, one without belongs to all
    /// of its own namespace. A listener has the routes that name it and those that name none. As
    /// in Kthena, the `port` of a ModelRoute's parent does not count.
    pub(super) fn has(&self, route: &RouteManifest) -> bool {
        if route.parents.is_empty() {
            return route.namespace == self.namespace;
        }
        route.parents.iter().any(|parent| {
            let namespace = parent.namespace.as_ref().unwrap_or(&route.namespace);
            let section = Option::zip(self.section.as_ref(), parent.section.as_ref());
            parent.is_gateway
                && *namespace == self.namespace
                && parent.name == self.name
                && section.is_none_or(|(own, named)| own == named)
        })
    }

    pub(super) fn text(&self) -> String {
        let full_name = full_name::join(&self.namespace, &self.name);
        match &self.section {
            Some(section) => full_name::join(&full_name, section),
            None => full_name,
        }
    }
}

/// That the text which was given names no Gateway.
pub(super) fn invalid(text: &str) -> Diagnostic {
    let message = format!(
        "{text:?} names no Gateway: write NAMESPACE/NAME, or NAMESPACE/NAME/SECTION for one of \
         its listeners"
    );
    Diagnostic::placeless(Severity::Error, "invalid-name", message)
}
