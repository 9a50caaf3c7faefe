//! The fifth scenario: an engine is killed in the middle of the run.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use tower_model_route::{EndpointSnapshot, RouteTable, ServerSnapshot};

use super::{CONCURRENT, ask::Asker, bare, cases::SIMPLE, check::Findings};
use crate::{engines::Engines, print::say};

const REQUESTS: u64 = 200;

/// After how many answers one of the two engines is killed.
const KILLED_AFTER: u64 = 60;

/// How many requests the killed engine may fail: those at the same time, and as many as eject it.
const MAX_FAILURES: u64 = CONCURRENT as u64 + 5;

/// Sends the requests of the plain scenario once more, kills one of its two engines meanwhile,
/// and lets no client see an error.
pub(crate) async fn run(
    asker: &Asker,
    mut engines: Engines,
    table: &RouteTable,
    findings: &mut Findings,
) {
    const SERVER: &str = "default/deepseek-r1-1-5b";
    let mut answers = stream::iter(0..REQUESTS)
        .map(|_| asker.ask(&SIMPLE))
        .buffer_unordered(CONCURRENT);
    let mut by_engine = BTreeMap::<String, u64>::new();
    let (mut seen, mut killed) = (0, None);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(answer) if answer.status == 200 => {
                *by_engine.entry(answer.engine).or_default() += 1;
            }
            Ok(answer) => findings.add(
                "outage",
                format_args!("{} {}", answer.status, answer.answer),
            ),
            Err(problem) => findings.add("outage", problem),
        }
        seen += 1;
        if seen == KILLED_AFTER {
            killed = engines.kill(SERVER);
        }
    }
    let killed = killed.unwrap_or_default();
    let count = |engine: &str| by_engine.get(engine).copied().unwrap_or(0);
    let survivor: u64 = by_engine.values().sum::<u64>() - count(&killed);
    if count(&killed) == 0 || survivor < REQUESTS - KILLED_AFTER - CONCURRENT as u64 {
        findings.add(
            "outage",
            format_args!("the answers came from {by_engine:?}"),
        );
    }
    let servers = table.servers();
    let failures = servers
        .iter()
        .filter(|server| server.name() == SERVER)
        .flat_map(ServerSnapshot::endpoints)
        .map(EndpointSnapshot::failures)
        .max()
        .unwrap_or_default();
    // What fails counts as load, so that it is hardly asked again, and is ejected if it is.
    if failures == 0 || failures > MAX_FAILURES {
        findings.add(
            "outage",
            format_args!("the killed engine failed {failures} requests"),
        );
    }
    say(format_args!(
        "\n{REQUESTS} more requests for {}; {} was killed after {KILLED_AFTER} of them:\n\
         {} requests failed there and were sent again to its sibling, then it was left alone;\n\
         {} were answered by it and {survivor} by its sibling; no client saw an error.",
        SIMPLE.model,
        bare(&killed),
        failures,
        count(&killed),
    ));
}
