//! A real Kubernetes API: the kube-apiserver and the etcd that `.ci/kube` builds.
//!
//! Each module is named after what it shows to be so; `tests/PROMISES.md` says where that is
//! promised. What they share is in `tests/kit`.

mod applied;
mod faults;
mod followed;
mod many;
mod watched;
