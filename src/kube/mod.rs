//! A Kubernetes cluster's ModelRoutes and ModelServers, watched.
//!
//! [`Watch`] keeps the table of a [`RouteTableHandle`](crate::RouteTableHandle) as the cluster says,
//! by [kube-rs](https://kube.rs). What the resources mean is the matter of
//! [`manifest`](crate::manifest); the guide on [Kubernetes](crate::guide::kubernetes) says how a gateway
//! with it is run.

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
