//! Whoever reads the log learns which endpoint fails, and of what.

use std::time::Duration;

use test_kit::{
    body::script,
    engines::{Act, status, streams},
    gateway::Rig,
    table::{endpoint, one_server, single, table},
};
use tower_model_route::{
    ConnectionFailure, ConnectionFailureKind, OutlierDetection, Rule, TrafficPolicy,
};
use tracing::Level;

use super::collect::{Seen, collecting};

type MakeAct = fn() -> Act;

fn refuses() -> Act {
    let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    Act::Fail(ConnectionFailure::new(ConnectionFailureKind::NotConnected, refused).into())
}

fn breaks_off() -> Act {
    let (body, scripted) = script();
    body.send("data: {\"choices\": [{\"delta\": {\"content\": \"a\"}}]}\n\n");
    body.fail("connection reset");
    streams(scripted)
}

/// The warnings of the endpoint's health: what is said, of whom, and the cause.
fn warnings(seen: &Seen) -> Vec<String> {
    let events = seen.events().into_iter();
    let is_of_health = |message: &str| message.starts_with("endpoint ");
    let warnings = events.filter(|event| {
        event.level == Level::WARN && event.fields.get("message").is_some_and(is_of_health)
    });
    warnings
        .map(|event| {
            let field = |name| event.fields.get(name).unwrap_or("-").to_owned();
            ["message", "server", "endpoint", "cause"]
                .map(field)
                .join(", ")
        })
        .collect()
}

fn strict() -> TrafficPolicy {
    TrafficPolicy::new()
        .timeout(Duration::from_secs(1))
        .outlier_detection(OutlierDetection::new().consecutive_failures(1))
}

#[tokio::test(start_paused = true)]
async fn one_that_is_ejected_with_the_cause() {
    let causes: [(MakeAct, &str); 6] = [
        (refuses, "no connection"),
        (|| Act::Fail("no HTTP".into()), "no answer"),
        (|| Act::Hang, "timed out"),
        (|| status(502), "502"),
        (|| status(503), "503"),
        (breaks_off, "its answer was late or broke off"),
    ];
    for (act, cause) in causes {
        let (seen, _guard) = collecting();
        let rig = Rig::new(table(
            [
                single("server", strict()),
                single("other", TrafficPolicy::new()),
            ],
            Rule::new("rule").target("server").fallback("other"),
        ));
        rig.engines.next([act()]);
        rig.ask().await;
        let expected = format!("endpoint ejected, server, http://server, {cause}");
        assert_eq!(warnings(&seen), [expected]);
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_ejected_once_it_has_failed_eight_times_in_a_row() {
    let (seen, _guard) = collecting();
    let never = TrafficPolicy::new().outlier_detection(OutlierDetection::off());
    let rig = Rig::one(1, never);
    rig.engines.everywhere(refuses);
    for _ in 0..7 {
        rig.ask().await;
    }
    assert_eq!(warnings(&seen), [""; 0]);
    for _ in 0..20 {
        rig.ask().await;
    }
    let expected = "endpoint keeps failing, server, http://e0, no connection";
    assert_eq!(warnings(&seen), [expected]);
    assert_eq!(endpoint(&rig.table, "http://e0").failures(), 27);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_failure_is_not() {
    let (seen, _guard) = collecting();
    let rig = Rig::new(one_server(2, strict()));
    for code in [200, 400, 404, 429] {
        rig.engines.next([status(code)]);
        rig.ask().await;
    }
    assert_eq!(warnings(&seen), [""; 0]);
}
