//! From resources to configuration, field by field.

pub(super) mod duration;
pub(super) mod embedded;
pub(super) mod fields;
pub(super) mod metadata;
pub(super) mod model_route;
pub(super) mod model_server;
pub(super) mod nearest;
pub(super) mod resource;
pub(super) mod route_annotations;
pub(super) mod server_annotations;
pub(super) mod server_manifest;
pub(super) mod string_match;
pub(super) mod timestamp;
pub(super) mod workload;
