//! Resources of a cluster: single objects, as they arrive, instead of files.

use std::sync::Arc;

use serde_json::Value;

use super::{diagnostic::Diagnostic, place::Source, set::Manifests};
use crate::manifest::{
    read::{
        fields::{Field, Reader},
        resource::Resources,
    },
    yaml::node::Node,
};

/// What one object says.
#[derive(Debug, Default)]
pub(crate) struct ReadObject {
    resources: Resources,
    found: Vec<Diagnostic>,
}

impl ReadObject {
    /// Reads an object, which messages call `name`.
    ///
    /// Its annotations may be nested as deep as a document: see [`on_deep_stack`](super::on_deep_stack).
    pub(crate) fn new(name: &str, object: &Value) -> Self {
        let mut read = Self::default();
        let node = Node::from(object);
        let source = Source {
            file: Arc::from(name),
            document: 1,
            is_in_cluster: true,
        };
        let mut reader = Reader {
            source,
            found: &mut read.found,
        };
        read.resources.read(&Field::root(&node), &mut reader);
        read
    }

    /// Whether it is a ModelServer that has its engines from a Service.
    pub(crate) fn names_service(&self) -> bool {
        let mut servers = self.resources.servers.iter();
        servers.any(|server| server.service.is_some())
    }
}

impl Manifests {
    /// What these objects say, each of which fails alone.
    pub(crate) fn of_objects<'o>(objects: impl Iterator<Item = &'o ReadObject>) -> Self {
        let mut manifests = Self::new().lenient();
        for object in objects {
            manifests.add_read(object.resources.clone(), &object.found);
        }
        manifests
    }
}
