//! Whole proxies side by side on loopback, in one run: a bare hyper reverse proxy as good as one can
//! write it, the same proxy with the least that any router by model does, with the layer in it, with
//! the whole stack (retries and timeouts allowed), with the layer told of (tracing's fmt at INFO into
//! a file, and metrics), bare and with the layer over HTTP/2, and the example `gateway` with its
//! access log in a file, if `cargo build --release -p gateway` has built it.
//!
//! `cargo bench --bench gateway` (`-- --quick` for a short run; `-- --before PROGRAM`, where `PROGRAM` is
//! an earlier build of this bench, as cargo names it when it runs it, for rows of its layer and its
//! stack that take turns with these)
//!
//! Engine and proxies are processes of their own, so that the CPU time of each
//! proxy (user and system, from /proc) can be told apart; the proxies take
//! turns under the same load, and what counts is the ratio to the bare one in each turn. They are
//! started anew five times. Clients send
//! the 14 fields of OpenAI's client. The lines `1KB ratio` and `16KB ratio` are the layer's: requests
//! a second and CPU a request, each to those of the bare proxy.
#![allow(unreachable_pub)]

mod fleet;
mod load;
#[path = "../proxies/mod.rs"]
mod proxies;
#[path = "../support/mod.rs"]
mod support;

use fleet::{Fleet, Group};
use load::Protocol;
use proxies::{Options, Process, Result, Task, median};
use tower_model_route::ModelRouteLayer;

const CONNECTIONS: usize = 32;

const OPTIONS: Options = Options {
    layer: ModelRouteLayer::new,
    idle_connections: usize::MAX,
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
    let (fleets, rounds, requests) = if quick { (1, 2, 500) } else { (5, 3, 10_000) };
    let directory = std::env::temp_dir().join(format!("bench-gateway-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    println!(
        "{CONNECTIONS} connections, {} rounds of {requests} requests; medians\n",
        fleets * rounds
    );
    let mut tables: Vec<Table> = Vec::new();
    // A process keeps what its layout in memory costs it or spares it, up to a tenth.
    for _ in 0..fleets {
        let fleet = Fleet::start(&directory)?;
        let mut at = 0;
        for (size, bytes) in [("1KB", 1 << 10), ("16KB", 16 << 10)] {
            let body = support::chat(bytes, true);
            for group in &fleet.groups {
                if tables.len() == at {
                    tables.push(Table::new(size, group));
                }
                let run = |process: &Process| {
                    runtime.block_on(measure(process, group.protocol, &body, requests))
                };
                tables[at].measure(group, rounds, run)?;
                at += 1;
            }
        }
    }
    std::fs::remove_dir_all(&directory)?;
    print(&tables);
    Ok(())
}

/// The figures of proxies under one load, in turns.
struct Table {
    size: &'static str,
    names: Vec<&'static str>,
    turns: Vec<Vec<Figure>>,
}

impl Table {
    fn new(size: &'static str, group: &Group) -> Self {
        Self {
            size,
            names: group.proxies.iter().map(|(name, _)| *name).collect(),
            turns: Vec::new(),
        }
    }

    /// In each round another one is the first.
    fn measure(
        &mut self,
        group: &Group,
        rounds: usize,
        run: impl Fn(&Process) -> Result<Figure>,
    ) -> Result<()> {
        let all = group.proxies.len();
        // The first round warms up.
        for round in 0..=rounds {
            let order = (0..all).map(|at| (at + round) % all);
            let turn = order.map(|at| Ok((at, run(&group.proxies[at].1)?)));
            let mut turn = turn.collect::<Result<Vec<_>>>()?;
            if round > 0 {
                turn.sort_by_key(|(at, _)| *at);
                let figures = turn.into_iter().map(|(_, figure)| figure);
                self.turns.push(figures.collect());
            }
        }
        Ok(())
    }
}

fn print(tables: &[Table]) {
    println!(
        "{:<9} {:<5} {:>12} {:>16} {:>12} {:>12}",
        "proxy", "body", "requests/s", "CPU us/request", "rate/bare", "CPU/bare"
    );
    let mut ratios = Vec::new();
    for Table { size, names, turns } in tables {
        for (at, name) in names.iter().enumerate() {
            let row = Row::of(turns, at);
            println!(
                "{name:<9} {size:<5} {:>12.0} {:>16.2} {:>11.3}x {:>11.3}x",
                row.rate, row.cpu, row.rate_to_bare, row.cpu_to_bare
            );
            if *name == "layer" {
                ratios.push((size, row));
            }
        }
        println!();
    }
    let has_program = tables.iter().any(|table| table.names.contains(&"program"));
    if !has_program {
        println!("target/release/gateway is not built: no row for it\n");
    }
    for (size, row) in ratios {
        println!(
            "{size} ratio {:.3}x {:.3}x",
            row.rate_to_bare, row.cpu_to_bare
        );
    }
}

/// Medians of one proxy.
struct Row {
    rate: f64,
    /// Microseconds a request.
    cpu: f64,
    rate_to_bare: f64,
    cpu_to_bare: f64,
}

impl Row {
    /// Of the proxy at this position; the first is the bare one.
    fn of(figures: &[Vec<Figure>], at: usize) -> Self {
        let of = |figure: fn(&Figure) -> f64| median(figures.iter().map(|turn| figure(&turn[at])));
        let to_bare = |figure: fn(&Figure) -> f64| {
            let ratios = figures
                .iter()
                .map(|turn| figure(&turn[at]) / figure(&turn[0]));
            median(ratios)
        };
        Self {
            rate: of(|figure| figure.rate),
            cpu: of(|figure| figure.cpu * 1e6),
            rate_to_bare: to_bare(|figure| figure.rate),
            cpu_to_bare: to_bare(|figure| figure.cpu),
        }
    }
}

struct Figure {
    /// Requests a second.
    rate: f64,
    /// Seconds of CPU a request.
    cpu: f64,
}

async fn measure(
    process: &Process,
    protocol: Protocol,
    body: &str,
    requests: usize,
) -> Result<Figure> {
    let cpu = process.cpu();
    let took = load::run(process.address, protocol, body, CONNECTIONS, requests).await?;
    let cpu = (process.cpu() - cpu) as f64 / 1e9;
    Ok(Figure {
        rate: requests as f64 / took.as_secs_f64(),
        cpu: cpu / requests as f64,
    })
}
