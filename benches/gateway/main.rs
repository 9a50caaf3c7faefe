//! Whole proxies side by side on loopback, in one run: a bare hyper reverse
//! proxy, and the same proxy with the layer in it.
//!
//! `cargo bench --bench gateway` (`-- --quick` for a short run)
//!
//! Engine and proxies are processes of their own, so that the CPU time of each
//! proxy (user and system, from /proc) can be told apart; the two proxies take
//! turns under the same load, and what counts is the ratio of each pair.
#![allow(unreachable_pub)]

mod load;
#[path = "../proxies/mod.rs"]
mod proxies;
#[path = "../support/mod.rs"]
mod support;

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
    let (rounds, requests) = if quick { (2, 500) } else { (15, 10_000) };

    let engine = Process::start("role:engine", None)?;
    let bare = Process::start("role:bare", Some(engine.address))?;
    let routed = Process::start("role:routed", Some(engine.address))?;
    println!("{CONNECTIONS} connections, {rounds} rounds of {requests} requests; medians\n");
    println!(
        "{:<6} {:<8} {:>12} {:>16}",
        "body", "proxy", "requests/s", "CPU us/request"
    );
    for (size, bytes) in [("1KB", 1 << 10), ("16KB", 16 << 10)] {
        let body = support::chat(bytes, true);
        let run = |process: &Process| runtime.block_on(measure(process, &body, requests));
        run(&bare)?;
        run(&routed)?;
        let (mut bares, mut routeds) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            bares.push(run(&bare)?);
            routeds.push(run(&routed)?);
        }
        let ratio = median(
            bares
                .iter()
                .zip(&routeds)
                .map(|(bare, routed)| routed.cpu / bare.cpu),
        );
        let speed = median(
            bares
                .iter()
                .zip(&routeds)
                .map(|(bare, routed)| routed.rate / bare.rate),
        );
        for (name, figures) in [("bare", &bares), ("routed", &routeds)] {
            println!(
                "{size:<6} {name:<8} {:>12.0} {:>16.2}",
                median(figures.iter().map(|figure| figure.rate)),
                median(figures.iter().map(|figure| figure.cpu * 1e6)),
            );
        }
        println!("{size:<6} {:<8} {speed:>11.3}x {ratio:>15.3}x\n", "ratio");
    }
    Ok(())
}

struct Figure {
    /// Requests a second.
    rate: f64,
    /// Seconds of CPU a request.
    cpu: f64,
}

async fn measure(process: &Process, body: &str, requests: usize) -> Result<Figure> {
    let cpu = process.cpu();
    let took = load::run(process.address, body, CONNECTIONS, requests).await?;
    let cpu = (process.cpu() - cpu) as f64 / 1e9;
    Ok(Figure {
        rate: requests as f64 / took.as_secs_f64(),
        cpu: cpu / requests as f64,
    })
}
