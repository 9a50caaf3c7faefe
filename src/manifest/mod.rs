//! Kthena's manifests: ModelRoutes and ModelServers as YAML or JSON, in and out.
//!
//! [`Manifests`] reads resources of the kinds `ModelRoute` and `ModelServer` of
//! `networking.serving.volcano.sh/v1alpha1`, as they are in a cluster, and
//! builds a [`RouteTable`](crate::RouteTable) from them.
//! [`RouteTable::to_yaml`](crate::RouteTable::to_yaml) writes them.
//!
//! ```no_run
//! use tower_model_route::manifest::Manifests;
//!
//! let manifests = Manifests::from_path("routes/")
//!     .merge(Manifests::from_path("servers.yaml"))
//!     .endpoints("ml/deepseek-r1-7b", ["http://10.0.0.7:8000", "http://10.0.0.8:8000"]);
//! for warning in manifests.check().warnings() {
//!     eprintln!("{warning}");
//! }
//! let table = manifests.build()?;
//! # Ok::<(), tower_model_route::manifest::ManifestError>(())
//! ```
//!
//! # What is read
//!
//! Files may hold several documents, of YAML or JSON, and lists of resources
//! such as `kubectl get -o yaml` writes. Other kinds than these are skipped:
//!
//! | kind | what it gives |
//! |---|---|
//! | `ModelRoute`, `ModelServer` | themselves |
//! | `Pod` | an endpoint with its name, if it is running, ready and not being deleted, of each ModelServer in its namespace whose `matchLabels` it has; in a `pdGroup` only if it has the `groupKey` and all `decodeLabels` |
//! | `Endpoints`, `EndpointSlice` | endpoints of the ModelServer of that name, or whose `matchLabels` they have, or that names their Service in an annotation; named after their Pods |
//!
//! What a file leaves out about a Pod does not count against it.
//!
//! Everything in the table is named `NAMESPACE/NAME`; the namespace is
//! `default` if none is given. The targets of a route are ModelServers of its
//! own namespace, so tenants are kept apart. Routes with the same model name
//! are tried in the order of their `creationTimestamp` (those without one come
//! first, as in Kthena), then of `resourceVersion` as a number (those without
//! one come first), then of `NAMESPACE/NAME`. A rule without a name is named
//! `rule-1`, by its position.
//!
//! The guide on [Kthena](crate::guide::kthena) goes through every field, and lists the
//! [annotations](crate::guide::kthena#annotations) for options that Kthena's schema does not have.
//!
//! # Errors and warnings
//!
//! [`Manifests::build`] reports every error at once, with file, document, line,
//! column and field; [`Manifests::check`] reports warnings as well, including
//! those of [`RouteTable::lint`](crate::RouteTable::lint). Printed, each is a
//! line in the form that compilers use. Unknown fields are warnings, with the
//! name that was probably meant; so are quoted numbers and unquoted strings,
//! which are read as intended but which Kubernetes would refuse.
//!
//! What this crate accepts but Kthena's schema or webhook would refuse is a
//! warning with the code `refused-by-kthena`: `endpoints` beside `matchLabels`,
//! for example, two endpoints of one name, a label that Kubernetes refuses, or
//! more than 16 rules. If you won't go back to Kthena, you can ignore these.
//! [`Manifests::deny`] turns the warnings with a code into errors.
//!
//! Files are not trusted: the cost of a file is bounded by its length, whatever
//! its nesting and aliases.

mod assembly;
mod deep_stack;
mod diagnostic;
mod files;
mod full_name;
mod gateway;
mod inputs;
mod keys;
mod lenient;
mod lints;
#[cfg(feature = "kube")]
mod objects;
mod options;
mod origin;
mod place;
mod read;
#[cfg(any(feature = "watch", feature = "kube"))]
mod reloads;
mod scope;
mod served;
mod server_info;
mod set;
#[cfg(feature = "watch")]
mod watch;
mod workloads;
mod write;
mod yaml;

#[cfg(feature = "watch")]
pub use self::watch::{Watch, WatchError, WatchHandle};
#[cfg(feature = "kube")]
pub(crate) use self::{
    deep_stack::on_deep_stack, objects::ReadObject, read::kubernetes::is_dns_label,
    reloads::Reloads,
};
pub use self::{
    diagnostic::{Diagnostic, ManifestError, Report, Severity},
    server_info::ServerInfo,
    set::Manifests,
};
