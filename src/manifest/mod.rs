//! Kthena's manifests: ModelRoutes and ModelServers as YAML or JSON, in and out.
mod assembly;
mod diagnostic;
mod duration;
mod embedded;
mod fields;
mod files;
mod metadata;
mod model_route;
mod model_server;
mod nearest;
mod node;
mod origin;
mod place;
mod resource;
mod route_extras;
mod server_extras;
mod server_info;
mod set;
mod string_match;
mod text;
mod timestamp;
mod workload;
mod write;

pub use self::{
    diagnostic::{Diagnostic, ManifestError, Report, Severity},
    server_info::ServerInfo,
    set::Manifests,
};
