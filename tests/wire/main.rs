//! The wire: a gateway between raw sockets.
//!
//! The clients and the engines here are written by hand, so that every byte
//! can be chosen on one side and seen on the other, and so that no library's
//! leniency hides what the gateway sends.

mod client;
mod gateway;
mod h2;
mod message;
mod upstream;

mod answers;
mod bodies;
mod errors;
mod expect;
mod failures;
mod framing;
mod headers;
mod hostile;
mod http2;
mod lifetime;
mod limits;
mod mounted;
mod smuggling;
mod streams;
mod targets;
mod trailers;
mod without_model;

use std::time::Duration;

/// What can hang is given this long: far more than it needs, so that it only ever ends a test that
/// has failed.
async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(10), future)
        .await
        .expect("it should not take ten seconds")
}
