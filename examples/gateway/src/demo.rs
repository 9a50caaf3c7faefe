//! Sends the requests of all scenarios through a gateway on real sockets, and checks where
//! each went.

mod ask;
mod cases;
mod check;
mod outage;

use std::{collections::BTreeMap, error::Error, future, net::Ipv4Addr, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::net::TcpListener;
use tower_model_route::{RouteTable, RouteTableHandle, engine_client};

use self::{
    ask::{Asker, Seen},
    cases::{CASES, Case},
    check::Findings,
};
use crate::{
    engines::Engines,
    listen::Listener,
    print::{columns, say},
    routes, server,
    workers::Worker,
};

/// How many requests of a case are under way at a time.
const CONCURRENT: usize = 10;

/// How many requests of a case met with what.
type Tally = BTreeMap<Seen, u64>;

/// Runs the demo.
///
/// # Errors
/// Every deviation, if there are any.
pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    let engines = Engines::start(Duration::ZERO).await?;
    let table = routes::table(&engines)?;
    let layer = server::layer(RouteTableHandle::new(table.clone()), false);
    let app = server::app(layer, engine_client(), None, true);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let gateway = Listener::new(listener, vec![Worker::here(app)], usize::MAX, Duration::MAX);
    tokio::select! {
        () = gateway.serve(future::pending(), || future::ready(())) => {
            Err("the gateway stopped by itself".into())
        }
        result = send_all(&url, engines, &table) => result,
    }
}

async fn send_all(url: &str, engines: Engines, table: &RouteTable) -> Result<(), Box<dyn Error>> {
    let asker = Asker::new(url);
    let mut findings = Findings::default();
    let mut tallies = Vec::new();
    for case in &CASES {
        let tally = send(&asker, case, &mut findings).await;
        findings.check(case, &tally, &engines);
        tallies.push(tally);
    }
    findings.check_counts(&tallies, &engines);

    let count: u64 = CASES.iter().map(Case::requests).sum();
    say(format_args!(
        "{count} requests through {url} (of an answer \"{}\" only X is shown, of a name \
         only what follows \"default/\"):\n",
        check::sentence("X"),
    ));
    print_table(&tallies);
    if findings.is_empty() {
        say("\nEvery request was routed as expected, and the split is exactly 70 to 30.");
    }
    outage::run(&asker, engines, table, &mut findings).await;
    findings.into_result()?;
    Ok(())
}

async fn send(asker: &Asker, case: &Case, findings: &mut Findings) -> Tally {
    let mut answers = stream::iter(0..case.requests())
        .map(|_| asker.ask(case))
        .buffer_unordered(CONCURRENT);
    let mut tally = Tally::new();
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(seen) => *tally.entry(seen).or_default() += 1,
            Err(problem) => findings.add(case, problem),
        }
    }
    tally
}

/// The name without its namespace, which is the same for all.
fn bare(name: &str) -> &str {
    name.strip_prefix("default/").unwrap_or(name)
}

fn print_table(tallies: &[Tally]) {
    let heads = [
        "TIMES", "REQUEST", "ROUTE", "RULE", "SERVER", "ENDPOINT", "ANSWER",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    for (case, tally) in CASES.iter().zip(tallies) {
        for (seen, times) in tally {
            rows.push([
                format!("{times:5}"),
                case.to_string(),
                bare(&seen.route).to_owned(),
                seen.rule.clone(),
                bare(&seen.server).to_owned(),
                seen.endpoint.replace("http://", ""),
                format!("{} {}", seen.status, check::short(&seen.answer)),
            ]);
        }
    }
    for line in columns(&rows) {
        say(line);
    }
}
