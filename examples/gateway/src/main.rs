//! A gateway for LLM requests, made of axum, this crate and hyper's client, in front of mock
//! engines that it starts itself, or by the manifests that it is given.
//!
//! ```text
//! cargo run -p gateway              # then try the curl lines that it prints
//! cargo run -p gateway -- --demo    # or let it try them all by itself
//! cargo run -p gateway -- --check routes/
//! cargo run -p gateway -- --manifests routes/ --endpoint NAME=URL --watch
//! ```

mod access;
mod admin;
mod check;
mod config;
mod demo;
mod engines;
mod events;
mod explain;
mod heads;
mod health;
mod ids;
mod introduce;
mod listen;
mod metrics;
mod print;
mod routes;
mod server;
mod serving;
mod show;
mod signals;
mod tls;

use std::{
    env,
    error::Error,
    future,
    io::{self, IsTerminal},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use axum::Router;
use clap::Parser;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_model_route::{EngineClient, ModelRouteLayer, Recent, RouteTableHandle, ServerSnapshot};
use tracing_subscriber::{
    EnvFilter, Layer, fmt::format::FmtSpan, layer::SubscriberExt, util::SubscriberInitExt,
};

use access::{AccessLog, Style};
use config::Config;
use engines::Engines;
use events::Events;
use health::Health;
use listen::Listener;
use metrics::Measured;
use print::say;
use serving::Serving;
use signals::Signals;

/// How many connections the admin view and the metrics have, on their own addresses.
const ADMINS: usize = 64;

/// Slow enough to watch a stream arrive.
const TOKEN_DELAY: Duration = Duration::from_millis(100);

/// Routes LLM requests by the model named in the request: by your own manifests (--manifests), or
/// in front of mock engines that it starts itself.
///
/// These have the routes of four scenarios: a plain one, LoRA adapters, a weighted split, and a
/// choice by a request header. The gateway prints the routes and a curl line for each, and then a
/// line for each request when it has ended. The headers x-model-route-name, -rule and -server of
/// every answer tell its route (see them with curl -i), and with --show-endpoints -endpoint.
///
/// With --admin-here, or at an address of its own with --admin-listen, /_ is a live view of routes
/// and engines for browsers; /_routes has it as JSON. POST /_explain, or --explain without a running
/// gateway, tells where a request would be routed, and why. POST /_drain and /_undrain take an
/// engine out of service and put it back. /metrics, also with --metrics-listen, is for Prometheus.
///
/// Clients may speak HTTP/1.1 or h2c; engines too, or HTTPS. Ctrl-C or SIGTERM stops it once the
/// requests in flight have finished, or after --drain. GET /healthz is 200 to the end, /readyz is
/// 503 from that signal on. With RUST_LOG set (such as RUST_LOG=tower_model_route=debug)
/// the spans and events of the library are written to stderr.
#[derive(Debug, Parser)]
#[command(version, name = "gateway", verbatim_doc_comment)]
struct Args {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Send requests of all scenarios through a gateway on a free port, show where
    /// each went, and exit with 0 only if every request was routed as expected
    #[arg(long, conflicts_with = "listen", verbatim_doc_comment)]
    demo: bool,

    #[command(flatten)]
    config: Config,

    #[command(flatten)]
    serving: Serving,

    #[command(flatten)]
    view: admin::Options,

    /// Tell clients the address of the engine, in the header x-model-route-endpoint
    #[arg(long)]
    show_endpoints: bool,

    /// Print where the request in FILE would be routed, and why, and exit; "-" is
    /// stdin. FILE is a request as HTTP/1.1 has it: request line, headers, an empty
    /// line, the body. It is routed by the manifests, or by the scenarios without --manifests
    #[arg(long, value_name = "FILE", conflicts_with_all = ["listen", "demo", "check", "watch"], verbatim_doc_comment)]
    explain: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if args.config.is_check() {
        let code = check::run(&args.config, &args.serving.tls);
        print::flush();
        return code;
    }
    trace(args.demo);
    let result = match args.explain {
        Some(file) => {
            let forwards = args.serving.forward.is_some();
            explain::run(&file, &args.config, forwards).await
        }
        None if args.demo => demo::run().await,
        None => run(&args).await,
    };
    print::flush();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let config = &args.config;
    let listener = bind(args.listen).await?;
    let signals = Signals::new()?;
    let url = format!("http://{}", listener.local_addr()?);
    if config.has_routes() {
        let manifests = config.manifests();
        let table = manifests.build().map_err(|error| error.to_string())?;
        let client = args.serving.tls.client(Some(&table))?;
        // What Kthena would refuse is for --check: it does not concern this gateway.
        let report = manifests.check();
        let said = report.diagnostics().iter();
        for said in said.filter(|said| said.code() != "refused-by-kthena") {
            eprintln!("{said}");
        }
        let table = RouteTableHandle::new(table);
        let _dns = config.resolve(&table).await?;
        let _models = config.poll_models(&table, &client)?;
        introduce::own(&url, config, &table.table(), args.view.here);
        let _watch = config.watch(&table)?;
        serve(listener, table, client, args, signals).await
    } else {
        let engines = Engines::start(TOKEN_DELAY).await?;
        let table = routes::table(&engines)?;
        let client = args.serving.tls.client(Some(&table))?;
        introduce::scenarios(&url, &engines, args.view.here);
        serve(listener, table.into(), client, args, signals).await
    }
}

/// Serves until it is asked to stop, and then finishes what is in flight.
async fn serve(
    listener: TcpListener,
    table: RouteTableHandle,
    client: EngineClient,
    args: &Args,
    signals: Signals,
) -> Result<(), Box<dyn Error>> {
    let (serving, view) = (&args.serving, &args.view);
    let health = Health::default();
    let _metrics = serving.read_metrics(&table, &client)?;
    let forward = serving.forward.clone();
    let wants_metrics = view.here || serving.admin.is_some() || serving.metrics_listen.is_some();
    let measured = wants_metrics.then(|| Measured::new(&table)).transpose()?;
    let layer = server::layer(table.clone(), forward.is_some())
        .forwarded_fields(serving.forwarded_fields.into());
    let recent = (view.here || serving.admin.is_some()).then(|| Recent::new(&table));
    let shown = admin::of(&layer, recent.clone());
    let layer = observed(layer, serving.access_log, measured.as_ref(), recent);
    let mut app = server::app(layer, client, forward, args.show_endpoints);
    if let Some(cors) = serving.cors() {
        app = app.layer(cors);
    }
    let mut app = health.mount(app);
    let with_metrics = |app| match &measured {
        Some(measured) => measured.mount(app),
        None => app,
    };
    if view.here {
        // Clients of other machines take no engine out of service.
        let shown = match listener.local_addr()?.ip().is_loopback() {
            true => shown.clone(),
            false => shown.clone().read_only(),
        };
        app = with_metrics(admin::mount(app, shown, view));
    }
    if let Some(addr) = serving.admin {
        let admin = with_metrics(admin::mount(Router::new(), shown, view));
        beside(addr, "The admin view is", "_", &health, admin).await?;
    }
    if let Some(addr) = serving.metrics_listen {
        let metrics = with_metrics(Router::new());
        beside(addr, "The metrics are", "metrics", &health, metrics).await?;
    }
    let gateway = Listener::new(listener, ids::on(app), serving.max_connections());
    let stop = CancellationToken::new();
    let gateway = gateway.serve(stop.cancelled(), all_answered(&table));
    tokio::select! {
        () = gateway => {}
        () = time_is_up(&stop, signals, &health, &table, serving) => {}
    }
    match in_flight(&table) {
        0 => say("Stopped."),
        cut => say(format_args!("Stopped, with {cut} in flight cut.")),
    }
    Ok(())
}

/// The layer with those who are told of its requests.
fn observed(
    layer: ModelRouteLayer,
    style: Style,
    measured: Option<&Measured>,
    recent: Option<Recent>,
) -> ModelRouteLayer {
    let layer = match measured {
        Some(measured) => layer.shared_observer(measured.metrics.clone()),
        None => layer,
    };
    let layer = match recent {
        Some(recent) => layer.observer(recent),
        None => layer,
    };
    match style {
        Style::Off => layer,
        Style::Json => layer.observer(AccessLog { is_json: true }),
        Style::Text => layer.observer(AccessLog { is_json: false }),
    }
}

/// Serves `app` at an address of its own, and says so.
async fn beside(
    addr: SocketAddr,
    what: &str,
    path: &str,
    health: &Health,
    app: Router,
) -> Result<(), Box<dyn Error>> {
    let listener = bind(addr).await?;
    say(format_args!(
        "{what} at http://{}/{path}",
        listener.local_addr()?
    ));
    let listener = Listener::new(listener, ids::on(health.mount(app)), ADMINS);
    tokio::spawn(listener.serve(future::pending(), future::ready(())));
    Ok(())
}

/// Waits for a signal, stops what listens to `stop`, and gives it the time that it has.
async fn time_is_up(
    stop: &CancellationToken,
    mut signals: Signals,
    health: &Health,
    table: &RouteTableHandle,
    serving: &Serving,
) {
    signals.next().await;
    health.leave();
    let drain = serving.drain.as_secs();
    match in_flight(table) {
        0 => say("Stopping."),
        count => say(format_args!(
            "Stopping, {count} in flight: {drain} s to finish."
        )),
    }
    tokio::time::sleep(serving.drain_delay).await;
    stop.cancel();
    tokio::time::sleep(serving.drain).await;
}

/// Also those whose connections have been handed over, such as WebSockets.
async fn all_answered(table: &RouteTableHandle) {
    while in_flight(table) > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn bind(addr: SocketAddr) -> Result<TcpListener, String> {
    let bound = TcpListener::bind(addr).await;
    bound.map_err(|error| cannot_listen(addr, &error))
}

fn in_flight(table: &RouteTableHandle) -> usize {
    let servers = table.table().servers();
    servers.iter().map(ServerSnapshot::in_flight).sum()
}

fn cannot_listen(addr: SocketAddr, error: &io::Error) -> String {
    let problem = match error.kind() {
        io::ErrorKind::AddrInUse => "another program already does".to_owned(),
        _ => error.to_string(),
    };
    format!(
        "cannot listen on {addr}: {problem}\n\
         choose another address with --listen, such as --listen 127.0.0.1:0 for a free port"
    )
}

/// With `RUST_LOG` set all of the library's spans and events go to stderr; in any case those of
/// [`Events`] are shown among the requests.
fn trace(quiet: bool) {
    let asked = env::var_os(EnvFilter::DEFAULT_ENV).is_some();
    let all = asked.then(|| {
        tracing_subscriber::fmt::layer()
            .with_span_events(FmtSpan::CLOSE)
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .with_filter(EnvFilter::from_default_env())
    });
    let events = (!quiet).then(|| Events.with_filter(Events::filter()));
    tracing_subscriber::registry().with(all).with(events).init();
}
