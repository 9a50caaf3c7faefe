//! Requests that belong together go to one endpoint.

mod bodies;
mod busy;
mod keyless;
mod keys;
mod kit;
mod reload;
mod streaming;
