//! Uploads that are forwarded while they arrive.
//!
//! On raw sockets, which hold back and break off where the test says so, and as plain services
//! with scripted bodies, where every cut and every pause can be chosen.

mod document;
mod gateway;
mod peer;
mod scripted;

mod answers;
mod at_once;
mod cut_off;
mod early;
mod h2;
mod leaving;
mod limits;
mod memory;
mod pressure;
mod properties;
mod retry;
mod sharing;
mod waits;

use std::time::Duration;

/// What can hang is given this long: far more than it needs, so that it only ever ends a test that
/// has failed.
async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("it should not take a minute")
}

/// As long as a test waits where it can only see that nothing happens.
const A_WHILE: Duration = Duration::from_millis(80);
