//! A gateway for LLM requests, made of axum, this crate and hyper's client, in front of mock
//! engines that it starts itself, or by the manifests or the cluster that it
//! is given.
//!
//! ```text
//! cargo run -p gateway              # then try the curl lines that it prints
//! cargo run -p gateway -- --demo    # or let it try them all by itself
//! cargo run -p gateway -- --check routes/
//! cargo run -p gateway -- --manifests routes/ --endpoint NAME=URL --watch
//! cargo run -p gateway -- --kube
//! ```

mod access;
mod admin;
mod check;
#[cfg(feature = "kube")]
mod cluster;
mod config;
mod demo;
mod engines;
mod entrance;
mod events;
mod explain;
mod health;
mod introduce;
mod linger;
mod listen;
mod metrics;
mod prepared;
mod print;
mod requests;
mod routes;
mod run;
mod server;
mod serving;
mod show;
mod signals;
mod socket;
mod stop;
mod stuck;
mod tls;
mod workers;

use std::{
    env,
    io::{self, IsTerminal},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use mimalloc::MiMalloc;
use tokio::runtime::Builder;
use tracing_subscriber::{
    EnvFilter, Layer, fmt::format::FmtSpan, layer::SubscriberExt, util::SubscriberInitExt,
};

use config::Config;
use events::Events;
use serving::Serving;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Routes LLM requests by the model named in the request: by your own manifests (--manifests), by
/// those of a cluster (--kube), or in front of mock engines that it starts itself.
///
/// The mock engines come with routes for four scenarios: a plain one, LoRA adapters, a weighted
/// split, and a choice by a request header. The gateway prints a curl line for each, and then a line
/// for each request when it ends. Every answer to a routed request has the headers
/// x-model-route-name, -rule and -server (curl -i shows them), and with --show-endpoints -endpoint.
///
/// With --admin-here, or on an address of its own with --admin-listen, /_ is a live view of routes
/// and engines for browsers; /_routes is the same as JSON. POST /_explain, or --explain without a
/// running gateway, tells where a request would be routed, and why. POST /_drain and /_undrain take
/// an engine out of service and put it back. /metrics, also with --metrics-listen, is for Prometheus.
///
/// Clients may speak HTTP/1.1 or h2c; engines too, or HTTPS. Ctrl-C or SIGTERM stops the gateway
/// once the requests in flight have finished, or after --drain; a second one stops it at once.
/// GET /healthz is 200 until the end; /readyz is 503 until it serves, and again from that signal on.
/// With RUST_LOG set, such as RUST_LOG=tower_model_route=debug, spans and events go to stderr.
#[derive(Debug, Parser)]
#[command(version, name = "gateway", verbatim_doc_comment)]
struct Args {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Send requests of all scenarios through a gateway on a free port, show where each went, and exit
    /// with 0 only if every request was routed as expected
    #[arg(long, conflicts_with = "listen", verbatim_doc_comment)]
    demo: bool,

    #[command(flatten)]
    config: Config,

    #[cfg(feature = "kube")]
    #[command(flatten)]
    cluster: cluster::Cluster,

    #[command(flatten)]
    serving: Serving,

    #[command(flatten)]
    view: admin::Options,

    /// Tell clients the engine's address, in the header x-model-route-endpoint
    #[arg(long)]
    show_endpoints: bool,

    /// Print where the request in FILE would be routed, and why, and exit; "-" is stdin. FILE is an
    /// HTTP/1.1 request: request line, headers, an empty line, the body. It is routed by the manifests,
    /// or by the scenarios if there are none
    #[arg(long, value_name = "FILE", conflicts_with_all = ["listen", "demo", "check", "watch"], verbatim_doc_comment)]
    explain: Option<PathBuf>,
}

/// How long a gateway that was asked to stop waits for stdout and stderr, which may take nothing any
/// more.
const LAST_WORDS: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let args = Args::parse();
    // Clients are served by threads of their own.
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(gateway(args));
    // The look-up of a name, which may hang for long, can't be ended.
    runtime.shutdown_background();
    code
}

/// What the command line asks for, from beginning to end.
async fn gateway(args: Args) -> ExitCode {
    if args.config.is_check() {
        let code = check::run(&args.config, &args.serving.tls);
        print::flush(Duration::MAX);
        return code;
    }
    trace(args.demo);
    let (result, most) = match args.explain {
        Some(file) => {
            let forwards = args.serving.forward.is_some();
            let explained = explain::run(&file, &args.config, forwards).await;
            (explained, Duration::MAX)
        }
        None if args.demo => (demo::run().await, Duration::MAX),
        None => (run::run(&args).await, LAST_WORDS),
    };
    print::flush(most);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// With `RUST_LOG` set all of the library's spans and events go to stderr; in any case those of
/// [`Events`] are shown among the requests.
fn trace(quiet: bool) {
    let asked = env::var_os(EnvFilter::DEFAULT_ENV).is_some();
    let all = asked.then(|| {
        tracing_subscriber::fmt::layer()
            .with_span_events(FmtSpan::CLOSE)
            .with_writer(|| print::Stderr)
            .with_ansi(io::stderr().is_terminal())
            .with_filter(EnvFilter::from_default_env())
            .boxed()
    });
    let events = (!quiet).then(|| Events.with_filter(Events::filter()).boxed());
    // A layer that is `None` would have every span made, for nobody.
    let layers: Vec<_> = all.into_iter().chain(events).collect();
    tracing_subscriber::registry().with(layers).init();
}
