//! Plain functions, and services without sockets under a paused clock.
//!
//! Each module is named after what it shows to be so; `tests/PROMISES.md` says where that is
//! promised. What they share is in `tests/kit`.

mod adapters;
mod addresses;
#[cfg(feature = "admin")]
mod admin;
mod affinity;
mod balancing;
mod building;
mod composition;
#[cfg(feature = "decompression")]
mod compressed;
mod explain;
mod failover;
mod guides_link_to_each_other;
mod health;
#[cfg(feature = "kube")]
mod kube;
mod layer;
mod limiting;
mod limits;
mod lint;
#[cfg(feature = "manifest")]
mod manifests;
mod model;
mod observing;
mod passing_on;
mod paths;
mod promises;
mod reload;
mod reported;
mod rooms;
mod routing;
mod sessions;
mod streams;
mod telemetry;
mod uploads;

use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
