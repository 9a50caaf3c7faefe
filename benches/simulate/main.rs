//! All balances side by side, over engines that exist only in this program.
//!
//! `cargo bench --profile release --bench simulate` (`-- --quick` for shorter traces)
//!
//! The layer is the real one, with real bodies and event streams; engines like vLLM (`engine.rs`)
//! play below it, under tokio's paused clock, so that minutes take a second and each run is the
//! same. What clients send (`trace.rs`) is generated from a seed. At the end it is checked what
//! the guide on balancing promises: the program fails if something is missed.
#![allow(unreachable_pub)]

mod engine;
mod kv;
mod oracle;
mod run;
mod trace;

use std::process::ExitCode;

use engine::KV_BLOCKS;
use run::{Chooser, Figures};
use tower_model_route::{Balance, ConsistentHash, HashKey, PrefixCache, PrefixHash};
use trace::Trace;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const LEAST_REQUEST: &str = "LeastRequest";
const LEAST_TOKENS: &str = "LeastTokens";
const CONSISTENT_HASH: &str = "ConsistentHash";
const PREFIX_CACHE: &str = "PrefixCache";
const ORACLE: &str = "oracle";

const CHAT: &str = "chat";
const MIXED: &str = "mixed";
const FOUR: &str = "4 sessions, 4 engines";

/// Requests a second.
const MIXED_RATE: f64 = 36.0;

/// As many blocks of text as the engines' caches hold: 64 bytes a block there, 512 here.
const ENTRIES: u32 = KV_BLOCKS as u32 / 8;

fn choosers() -> [(&'static str, Chooser); 8] {
    let session = HashKey::Header(run::SESSION.to_owned());
    let prefixes = PrefixCache::new().entries(ENTRIES);
    let balance = Chooser::Balance;
    [
        (LEAST_REQUEST, balance(Balance::LeastRequest)),
        (LEAST_TOKENS, balance(Balance::LeastTokens)),
        ("PeakEwma", balance(Balance::PeakEwma)),
        ("RoundRobin", balance(Balance::RoundRobin)),
        (
            CONSISTENT_HASH,
            balance(Balance::ConsistentHash(ConsistentHash::by(session))),
        ),
        (
            "PrefixHash",
            balance(Balance::PrefixHash(PrefixHash::of(16 << 10))),
        ),
        (PREFIX_CACHE, balance(Balance::PrefixCache(prefixes))),
        (ORACLE, Chooser::Oracle),
    ]
}

fn main() -> Result<ExitCode> {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let seconds = if is_quick { 30.0 } else { 90.0 };
    let mut traces = vec![
        Trace::chat(CHAT, seconds, 7.0),
        Trace::mixed(MIXED, seconds, MIXED_RATE, 0.01),
        Trace::bursts("bursts", seconds, 5.0),
        Trace::four(FOUR, 30),
    ];
    if !is_quick {
        let of_load = |name, share| Trace::mixed(name, seconds, MIXED_RATE * share, 0.01);
        traces.insert(2, of_load("mixed, 0.7 of that load", 0.7));
        traces.insert(3, of_load("mixed, 1.15 of that load", 1.15));
        let more = Trace::mixed("mixed, 3 % documents", seconds, 20.0, 0.03);
        traces.insert(4, more);
    }
    let mut table = Vec::new();
    for trace in &traces {
        let requests = trace.turns().count();
        println!(
            "{}: {requests} requests to {} engines",
            trace.name, trace.engines
        );
        println!(
            "  {:<16} {:>9} {:>9} {:>13} {:>9} {:>9} {:>9}",
            "", "p50, s", "p99, s", "p99 short, s", "tokens/s", "hits, %", "stay, %"
        );
        for (name, chooser) in choosers() {
            let figures = run::run(trace, &chooser)?;
            println!(
                "  {name:<16} {:>9.2} {:>9.2} {:>13.2} {:>9.0} {:>9} {:>9}",
                figures.percentile(50),
                figures.percentile(99),
                figures.percentile_of_short(99),
                figures.throughput,
                percent(figures.hits),
                percent(figures.stay)
            );
            table.push((trace.name, name, figures));
        }
        println!();
    }
    Ok(match check(&table) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn percent(share: f64) -> String {
    match share.is_nan() {
        true => "-".to_owned(),
        false => format!("{:.1}", share * 100.0),
    }
}

/// Whether all targets are met.
fn check(table: &[(&str, &str, Figures)]) -> bool {
    let of = |trace: &str, name: &str, figure: fn(&Figures) -> f64| {
        let row = table.iter().find(|row| (row.0, row.1) == (trace, name));
        row.map_or(f64::NAN, |row| figure(&row.2))
    };
    let p99 = |figures: &Figures| figures.percentile(99);
    let mut all = true;
    let mut target = |what: String, figure: f64, is_met: bool| {
        all &= is_met;
        let verdict = if is_met { "met" } else { "MISSED" };
        println!("{what:<72} {figure:>7.2} {verdict}");
    };
    let ratio = of(MIXED, LEAST_TOKENS, p99) / of(MIXED, LEAST_REQUEST, p99);
    let what = "LeastTokens / LeastRequest, p99, mixed: at most 0.60";
    target(what.to_owned(), ratio, ratio <= 0.6);

    let hits = |name| of(CHAT, name, |figures| figures.hits) * 100.0;
    let less = hits(ORACLE) - hits(PREFIX_CACHE);
    let what = "hits of the oracle less those of PrefixCache, chat: at most 5 points";
    target(what.to_owned(), less, less <= 5.0);

    let mut traces: Vec<&str> = table.iter().map(|row| row.0).collect();
    traces.dedup();
    for trace in traces {
        let ratio = of(trace, PREFIX_CACHE, p99) / of(trace, LEAST_TOKENS, p99);
        let what = format!("PrefixCache / LeastTokens, p99, {trace}: at most 1.05");
        target(what, ratio, ratio <= 1.05);
    }
    let stay = of(FOUR, CONSISTENT_HASH, |figures| figures.stay) * 100.0;
    let what = "turns that stay with ConsistentHash, 4 sessions, 4 engines: 100 %";
    target(what.to_owned(), stay, stay == 100.0);
    all
}
