//! A ModelServer as seen by a resolver of endpoints.

use crate::manifest::read::server_manifest::{Port, ServerManifest};

/// The ModelServer whose endpoints [`Manifests::resolve`](super::Manifests::resolve) asks for.
#[derive(Clone, Copy, Debug)]
pub struct ServerInfo<'m>(pub(super) &'m ServerManifest);

impl<'m> ServerInfo<'m> {
    /// Its namespace, `default` if the manifest names none.
    pub fn namespace(&self) -> &'m str {
        &self.0.namespace
    }

    /// Its name in the namespace.
    pub fn name(&self) -> &'m str {
        &self.0.name
    }

    /// The name under which its engines serve the model.
    pub fn model(&self) -> Option<&'m str> {
        self.0.server.get_model()
    }

    /// The labels that its engines have: `workloadSelector.matchLabels`, and the `decodeLabels` if
    /// there is a `pdGroup`.
    pub fn match_labels(&self) -> impl Iterator<Item = (&'m str, &'m str)> {
        let decode = self.0.decode.iter().flat_map(|group| &group.labels);
        let labels = self.0.labels.iter().chain(decode);
        labels.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The Service that its engines belong to: the annotation `tower-model-route/service`.
    pub fn service(&self) -> Option<&'m str> {
        self.0.service.as_deref()
    }

    /// The port that its engines serve on: `workloadPort.port`.
    pub fn port(&self) -> Option<u16> {
        match self.0.port {
            Port::Of(port) => Some(port),
            Port::Missing | Port::Wrong => None,
        }
    }

    /// `http` or `https`: `workloadPort.protocol`.
    pub fn protocol(&self) -> &'static str {
        if self.0.https { "https" } else { "http" }
    }
}
