//! Resident memory of whole proxies while uploads or streams are held open, on loopback, in one run:
//! a bare hyper reverse proxy, and the same proxy with the layer in it.
//!
//! `cargo bench --bench memory` (`-- --quick` for less of it, `-- streams` for the streams only)
//!
//! Every proxy is a process of its own, and a new one for every scenario, so that nothing counts
//! but what it holds. The clients send all but the end of their uploads and wait; the engine reads
//! all that it is given, and answers when a body has ended. What counts is what the proxy then
//! holds: its resident memory (VmRSS, from /proc) beyond that of the same process at rest. Of streams
//! the engine sends one event, and what counts is what a proxy holds beyond the bare one.
#![allow(unreachable_pub)]

mod load;
#[path = "../proxies/mod.rs"]
mod proxies;
mod streams;
#[path = "../support/mod.rs"]
mod support;

use std::{net::SocketAddr, time::Duration};

use load::Upload;
use proxies::{Options, Process, Result, Task};
use tower_model_route::ModelRouteLayer;

const MB: f64 = (1 << 20) as f64;

const REPLAY_BYTES: usize = 64 << 10;

const OPTIONS: Options = Options {
    layer: |table| ModelRouteLayer::new(table).replay_bytes(REPLAY_BYTES),
    // Connections that are kept would hold their buffers when the uploads have ended.
    idle_connections: 0,
};

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let quick = match Task::from_arguments()? {
        Task::Serve { role, engine } => {
            return runtime.block_on(proxies::serve(&role, engine, &OPTIONS));
        }
        Task::Measure { quick } => quick,
    };
    if !std::env::args().any(|argument| argument == "streams") {
        uploads(&runtime, quick)?;
    }
    let (rounds, streams) = if quick { (1, 500) } else { (3, 10_000) };
    runtime.block_on(streams::measure(rounds, streams))
}

fn uploads(runtime: &tokio::runtime::Runtime, quick: bool) -> Result<()> {
    let (rounds, uploads, bytes) = if quick {
        (1, 8, 1 << 20)
    } else {
        (3, 64, 8 << 20)
    };

    println!(
        "{uploads} uploads of {} MB, replay_bytes = {} KiB; medians of {rounds} rounds\n",
        bytes as f64 / MB,
        REPLAY_BYTES >> 10
    );
    println!(
        "{:<42} {:>8} {:>8} {:>8} {:>8} {:>10} {:>10} {:>10}",
        "RSS, MB", "idle", "held", "peak", "after", "an upload", "at engine", "received"
    );
    let measure = |scenario: &Scenario| {
        let rounds = (0..rounds).map(|_| runtime.block_on(scenario.measure(uploads, bytes)));
        rounds.collect::<Result<Vec<_>>>().map(Figures::median)
    };
    let mut held = Vec::new();
    for scenario in &SCENARIOS {
        let figures = measure(scenario)?;
        figures.print(scenario.name, uploads);
        held.push(figures);
    }
    if let [bare, first, last, ..] = &*held {
        println!();
        let ratio = |what: &str, ratio: f64| println!("{what:<70} {ratio:>6.2}x");
        ratio(
            "model first / bare, whole processes",
            first.held / bare.held,
        );
        ratio(
            "model first / bare, beyond idle",
            first.beyond() / bare.beyond(),
        );
        ratio(
            "model last, beyond idle / bytes received",
            last.beyond() / last.received,
        );
        for (figures, scenario) in held.iter().zip(&SCENARIOS) {
            let what = format!("{}: after / idle", scenario.name);
            ratio(&what, figures.after / figures.idle);
        }
    }
    Ok(())
}

/// A proxy, and uploads to it.
struct Scenario {
    name: &'static str,
    role: &'static str,
    model_last: bool,
    /// How much of an upload's end is held back.
    withheld: usize,
}

const SCENARIOS: [Scenario; 4] = [
    Scenario {
        name: "bare",
        role: "role:bare",
        model_last: false,
        withheld: 1,
    },
    Scenario {
        name: "routed, model first",
        role: "role:routed",
        model_last: false,
        withheld: 1,
    },
    // Before the model has ended nobody can say where it goes: one copy has to be held.
    Scenario {
        name: "routed, model last, held before it ends",
        role: "role:routed",
        model_last: true,
        withheld: 3,
    },
    Scenario {
        name: "routed, model last, held before last byte",
        role: "role:routed",
        model_last: true,
        withheld: 1,
    },
];

impl Scenario {
    async fn measure(&self, uploads: usize, bytes: usize) -> Result<Figures> {
        let engine = Process::start("role:engine", None)?;
        let proxy = Process::start(self.role, Some(engine.address))?;
        let body: std::sync::Arc<[u8]> = support::chat(bytes, self.model_last).into_bytes().into();

        // What a proxy needs once, for its first request, is not held for an upload.
        let warm_up: std::sync::Arc<[u8]> = support::tiny(true).into_bytes().into();
        Upload::begin(proxy.address, &warm_up, 1)
            .await?
            .end()
            .await?;
        settle(&[&proxy, &engine]).await;
        let idle = proxy.resident();

        let begun = (0..uploads).map(|_| Upload::begin(proxy.address, &body, self.withheld));
        let begun = futures_util::future::try_join_all(begun).await?;
        settle(&[&proxy, &engine]).await;
        let held = proxy.resident();
        let at_engine = received(engine.address).await? - warm_up.len() as f64;

        let ended = begun.into_iter().map(Upload::end);
        futures_util::future::try_join_all(ended).await?;
        settle(&[&proxy, &engine]).await;
        Ok(Figures {
            idle,
            held,
            peak: proxy.peak(),
            after: proxy.resident(),
            at_engine: at_engine.max(0.0),
            received: (uploads * (body.len() - self.withheld)) as f64,
        })
    }
}

/// How many bytes of bodies the engine has been sent.
async fn received(engine: SocketAddr) -> Result<f64> {
    Ok(load::get(engine, "/received").await?.parse()?)
}

/// Waits until these have nothing more to do.
async fn settle(processes: &[&Process]) {
    let busy = || processes.iter().map(|process| process.cpu()).sum::<u64>();
    let (mut last, mut quiet) = (busy(), 0);
    // Half a second of rest; on a system without /proc that is all there is to see.
    while quiet < 5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = busy();
        quiet = if now == last { quiet + 1 } else { 0 };
        last = now;
    }
}

/// In bytes.
#[derive(Clone, Copy)]
struct Figures {
    idle: f64,
    held: f64,
    peak: f64,
    after: f64,
    at_engine: f64,
    received: f64,
}

impl Figures {
    fn beyond(&self) -> f64 {
        self.held - self.idle
    }

    fn median(rounds: Vec<Self>) -> Self {
        let median = |figure: fn(&Self) -> f64| proxies::median(rounds.iter().map(figure));
        Self {
            idle: median(|figures| figures.idle),
            held: median(|figures| figures.held),
            peak: median(|figures| figures.peak),
            after: median(|figures| figures.after),
            at_engine: median(|figures| figures.at_engine),
            received: median(|figures| figures.received),
        }
    }

    fn print(&self, name: &str, uploads: usize) {
        println!(
            "{name:<42} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {:>10.3} {:>10.1} {:>10.1}",
            self.idle / MB,
            self.held / MB,
            self.peak / MB,
            self.after / MB,
            self.beyond() / MB / uploads as f64,
            self.at_engine / MB,
            self.received / MB,
        );
    }
}
