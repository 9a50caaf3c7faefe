//! A real Kubernetes API: a kube-apiserver over an etcd, as `.ci/kube` builds them.
//!
//! There is no kubelet and no controller: a Pod is what a test says it is, at any address, also on
//! loopback, and a Deployment makes none.

mod cluster;
mod engines;
mod namespace;
mod objects;
mod process;

pub use cluster::{Cluster, Lists, shared};
pub use engines::Engines;
pub use namespace::Namespace;
pub use objects::documents;

pub use crate::resources::{route, server};
