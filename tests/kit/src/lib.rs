//! The one kit of the tests: each helper has one name and one implementation here.
//!
//! - [`time`] and [`paused`]: how long a test waits for what may never happen
//! - [`body`]: bodies that do what a test tells them to
//! - [`request`], [`table`]: what most tests begin with
//! - [`mock`]: a service below the layer that the test plays by hand
//! - [`engines`], [`gateway`], [`exchange`]: a gateway without a network, over scripted engines
//! - [`decision`]: what a table decides, in a line
//! - [`answer`]: what a client gets
//! - [`directory`], [`document`]: files, and bodies that are long
//! - [`socket`]: clients, engines and gateways on loopback, down to the bytes
//!
//! What only one subject needs stays beside its tests.

// What a helper does is said where its name does not.
#![allow(missing_docs, missing_debug_implementations)]

pub mod answer;
pub mod body;
pub mod decision;
pub mod directory;
pub mod document;
pub mod engines;
pub mod exchange;
pub mod gateway;
pub mod mock;
pub mod paused;
pub mod request;
pub mod socket;
pub mod table;
pub mod time;
