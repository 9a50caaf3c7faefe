//! Helpers that the tests share: each has one name and one implementation, here.
//!
//! - [`time`] and [`paused`]: time limits, for a real clock and for a paused one
//! - [`body`]: bodies that a test feeds and reads step by step
//! - [`document`]: long JSON bodies
//! - [`request`], [`table`]: requests, and tables that route them
//! - [`decision`]: decisions as one line of text
//! - [`mock`]: a service below the layer that the test plays by hand
//! - [`engines`], [`gateway`], [`exchange`]: a gateway without a network, over scripted engines
//! - [`answer`]: answers as clients get them
//! - [`socket`]: clients, engines and gateways on loopback, down to the bytes
//! - [`cluster_api`]: the API of a Kubernetes cluster, without a network
//! - [`resources`]: ModelRoutes and ModelServers as JSON
//! - [`redis`]: a real Redis, if there is one
//! - `kube`: a real Kubernetes API, if it has been built
//! - [`slow`]: a proxy that delays
//! - [`tls`]: engines behind TLS, and their certificate authorities
//! - [`directory`]: temporary files
//!
//! A helper that only one subject needs is beside the tests of that subject.

// Items are documented where their names do not say enough.
#![allow(missing_docs, missing_debug_implementations)]

pub mod answer;
pub mod body;
pub mod cluster_api;
pub mod decision;
pub mod directory;
pub mod document;
pub mod engines;
pub mod exchange;
pub mod gateway;
#[cfg(feature = "kube")]
pub mod kube;
pub mod mock;
pub mod paused;
pub mod redis;
pub mod request;
pub mod resources;
pub mod slow;
pub mod socket;
pub mod table;
pub mod time;
pub mod tls;
