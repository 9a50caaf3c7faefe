//! A Kubernetes cluster's ModelRoutes and ModelServers, watched.
//!
//! [`Watch`] keeps the table of a [`RouteTableHandle`](crate::RouteTableHandle) in step with the
//! cluster, using [kube-rs](https://kube.rs). [`manifest`](crate::manifest) defines what the
//! resources mean; the guide on [Kubernetes](crate::guide::kubernetes) says how to run a gateway
//! with it.

mod asking;
mod error;
mod event_objects;
mod follow;
mod kinds;
mod lists;
mod object;
mod rebuild;
mod watch;

pub use self::{
    error::WatchError,
    watch::{Watch, WatchHandle},
};
