//! Whole proxies side by side on loopback, in one run: a bare hyper reverse proxy as good as one can
//! write it, the same proxy with the layer in it, with the whole stack (retries and timeouts
//! allowed), with the layer told of (tracing's fmt at INFO into a file, and metrics), bare and with
//! the layer over HTTP/2, and the example `gateway` with its access log in a file, if
//! `cargo build --release -p gateway` has built it.
//!
//! `cargo bench --bench gateway` (`-- --quick` for a short run)
//!
//! Engine and proxies are processes of their own, so that the CPU time of each
//! proxy (user and system, from /proc) can be told apart; the proxies take
//! turns under the same load, and what counts is the ratio to the bare one in each turn. Clients send
//! the 14 fields of OpenAI's client. The lines `1KB ratio` and `16KB ratio` are the layer's: requests
//! a second and CPU a request, each to those of the bare proxy.
#![allow(unreachable_pub)]

mod load;
#[path = "../proxies/mod.rs"]
mod proxies;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;

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
    let (rounds, requests) = if quick { (2, 500) } else { (15, 10_000) };

    let engine = Process::start("role:engine", None)?;
    let directory = std::env::temp_dir().join(format!("bench-gateway-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let program = program(&engine, &directory)?;
    let start = |role: &str| Process::start(role, Some(engine.address));
    // Each behind the bare one that it is held against.
    let mut http1 = vec![
        ("bare", start("role:bare")?),
        ("layer", start("role:routed")?),
        ("stack", start("role:stack")?),
        ("told", start("role:told")?),
    ];
    match program {
        Some(program) => http1.push(("program", program)),
        None => println!("target/release/gateway is not built: no row for it"),
    }
    let http2 = vec![
        ("h2_bare", start("role:bare2")?),
        ("h2_layer", start("role:routed2")?),
    ];
    println!("{CONNECTIONS} connections, {rounds} rounds of {requests} requests; medians\n");
    println!(
        "{:<8} {:<5} {:>12} {:>16} {:>12} {:>12}",
        "proxy", "body", "requests/s", "CPU us/request", "rate/bare", "CPU/bare"
    );
    let mut ratios = Vec::new();
    for (size, bytes) in [("1KB", 1 << 10), ("16KB", 16 << 10)] {
        let body = support::chat(bytes, true);
        for (proxies, protocol) in [(&http1, Protocol::Http1), (&http2, Protocol::Http2)] {
            let run =
                |process: &Process| runtime.block_on(measure(process, protocol, &body, requests));
            let mut figures: Vec<Vec<Figure>> = Vec::new();
            // The first round warms up.
            for round in 0..=rounds {
                let turn = proxies.iter().map(|(_, process)| run(process));
                let turn = turn.collect::<Result<Vec<_>>>()?;
                if round > 0 {
                    figures.push(turn);
                }
            }
            for (at, (name, _)) in proxies.iter().enumerate() {
                let row = Row::of(&figures, at);
                println!(
                    "{name:<8} {size:<5} {:>12.0} {:>16.2} {:>11.3}x {:>11.3}x",
                    row.rate, row.cpu, row.rate_to_bare, row.cpu_to_bare
                );
                if *name == "layer" {
                    ratios.push((size, row));
                }
            }
        }
        println!();
    }
    for (size, row) in ratios {
        println!(
            "{size} ratio {:.3}x {:.3}x",
            row.rate_to_bare, row.cpu_to_bare
        );
    }
    std::fs::remove_dir_all(&directory)?;
    Ok(())
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

/// The example, beside this program.
fn program(engine: &Process, directory: &Path) -> Result<Option<Process>> {
    let mut path = std::env::current_exe()?;
    path.pop();
    path.pop();
    path.push("gateway");
    if !path.exists() {
        return Ok(None);
    }
    let manifests = directory.join("routes.yaml");
    std::fs::write(&manifests, MANIFESTS.replace("MODEL", support::MODEL))?;
    let arguments = [
        format!("--manifests={}", manifests.display()),
        format!("--endpoint=s=http://{}", engine.address),
        "--listen=127.0.0.1:0".to_owned(),
        "--access-log=text".to_owned(),
    ];
    Process::program(&path, &arguments, &directory.join("output")).map(Some)
}

const MANIFESTS: &str = "\
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata: {name: s}
spec:
  inferenceEngine: vLLM
  model: deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B
  workloadSelector: {matchLabels: {app: s}}
  workloadPort: {port: 8000}
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata: {name: r}
spec:
  modelName: MODEL
  rules: [{name: all, targetModels: [{modelServerName: s}]}]
";

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
