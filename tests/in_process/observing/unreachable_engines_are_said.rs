//! Why an engine can't be reached stands in the log, with all that caused it, now and then.

use std::{error::Error, fmt, io};

use test_kit::{
    engines::{Act, status},
    gateway::Rig,
    table::retries,
};
use tokio::time::sleep;
use tracing::Level;

use super::millis;
use crate::telemetry::collect::collecting;

#[derive(Debug)]
struct Tls(io::Error);

impl fmt::Display for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the handshake failed")
    }
}

impl Error for Tls {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

fn refuses() -> Act {
    let cause = io::Error::new(io::ErrorKind::ConnectionRefused, "certificate expired");
    Act::Fail(Box::new(Tls(cause)))
}

#[tokio::test(start_paused = true)]
async fn with_all_causes_and_at_most_every_ten_seconds() {
    let (seen, _guard) = collecting();
    let rig = Rig::one(1, retries(0));
    rig.engines.next((0..50).map(|_| refuses()));
    let warnings = || {
        let mut events = seen.events();
        events.retain(|event| event.fields.get("message") == Some("engine can't be reached"));
        events
    };
    for _ in 0..49 {
        rig.ask().await;
    }
    let said = warnings();
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].level, Level::WARN);
    let error = said[0].fields.get("error").unwrap();
    assert_eq!(error, "the handshake failed: certificate expired");
    assert_eq!(said[0].fields.get("endpoint"), Some("http://e0"));
    sleep(millis(10_000)).await;
    rig.ask().await;
    assert_eq!(warnings()[1].fields.get("unsaid"), Some("48"));
    // What has answered was reached.
    rig.engines.next([status(503)]);
    sleep(millis(10_000)).await;
    rig.ask().await;
    assert_eq!(warnings().len(), 2);
}
