//! From resources to configuration, field by field.

mod balance;
pub(super) mod duration;
pub(super) mod embedded;
pub(super) mod engines;
pub(super) mod fields;
pub(super) mod gateway_refs;
pub(super) mod kthena;
pub(super) mod kubernetes;
pub(super) mod metadata;
pub(super) mod model_route;
pub(super) mod model_server;
pub(super) mod nearest;
pub(super) mod rate_limit;
pub(super) mod re2;

pub(super) mod resource;
pub(super) mod route_annotations;
pub(super) mod server_annotations;
pub(super) mod server_manifest;
pub(super) mod string_match;
pub(super) mod timestamp;
pub(super) mod traffic_policy;
pub(super) mod workload;
