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
mod proxy;
#[path = "../support/mod.rs"]
mod support;

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

const CONNECTIONS: usize = 32;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if let [role, address @ ..] = &*arguments
        && role.starts_with("role:")
    {
        let engine = address.first().map(|address| address.parse()).transpose()?;
        return runtime.block_on(proxy::run(role, engine));
    }
    // Cargo passes `--bench` from `cargo bench` only; a test run just shows that it works.
    let quick =
        arguments.iter().any(|a| a == "--quick") || !arguments.iter().any(|a| a == "--bench");
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
        let run = |process: &Process| runtime.block_on(process.measure(&body, requests));
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

/// A copy of this program in one of its roles.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(role: &str, engine: Option<SocketAddr>) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(role)
            .args(engine.map(|engine| engine.to_string()))
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.trim().parse()?;
        Ok(Self { child, address })
    }

    async fn measure(&self, body: &str, requests: usize) -> Result<Figure> {
        let cpu = self.cpu_seconds();
        let took = load::run(self.address, body, CONNECTIONS, requests).await?;
        Ok(Figure {
            rate: requests as f64 / took.as_secs_f64(),
            cpu: (self.cpu_seconds() - cpu) / requests as f64,
        })
    }

    /// CPU time of all threads so far; NaN where there is no /proc.
    fn cpu_seconds(&self) -> f64 {
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{}/task", self.child.id())) else {
            return f64::NAN;
        };
        let nanoseconds = tasks.filter_map(|task| {
            let schedstat = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            schedstat.split(' ').next()?.parse::<f64>().ok()
        });
        nanoseconds.sum::<f64>() / 1e9
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
