//! YAML as a tree with places.

pub(super) mod documents;
pub(super) mod node;
