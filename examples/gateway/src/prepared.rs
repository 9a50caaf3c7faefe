//! A gateway with all that belongs to it, from before its first request until after its last.

use std::{error::Error, future, io, net::SocketAddr};

use axum::Router;
use tokio_util::sync::CancellationToken;
use tower_model_route::{
    EngineClient, EngineMetricsHandle, ModelRouteLayer, Recent, RouteTableHandle,
};

use crate::{
    Args,
    access::{AccessLog, Style},
    admin,
    health::Health,
    listen::{Address, Listener},
    metrics::Measured,
    print::{log, say},
    server,
    serving::Serving,
    signals::Signals,
    stop::{self, InFlight},
    workers::Worker,
};

/// How many connections the admin view and the metrics have, on their own addresses.
const ADMINS: usize = 64;

/// A gateway that takes no requests yet. What has addresses of its own, beside the traffic, is there
/// already.
pub(crate) struct Prepared<'a> {
    address: Address,
    workers: Vec<Worker>,
    in_flight: InFlight,
    health: Health,
    serving: &'a Serving,
    _metrics: Option<EngineMetricsHandle>,
}

impl<'a> Prepared<'a> {
    /// # Errors
    /// An option is wrong, or an address is taken.
    pub(crate) async fn new(
        address: Address,
        table: RouteTableHandle,
        client: EngineClient,
        args: &'a Args,
    ) -> Result<Self, Box<dyn Error>> {
        let (serving, view) = (&args.serving, &args.view);
        let health = Health::default();
        let metrics = serving.read_metrics(&table, &client)?;
        let forward = serving.forward.clone();
        let wants_metrics =
            view.here || serving.admin.is_some() || serving.metrics_listen.is_some();
        let measured = wants_metrics.then(|| Measured::new(&table)).transpose()?;
        let layer = server::layer(table.clone(), forward.is_some())
            .forwarded_fields(serving.forwarded_fields.into());
        let in_flight = InFlight {
            table: table.clone(),
            tunnels: layer.tunnels(),
        };
        let recent = (view.here || serving.admin.is_some()).then(|| Recent::new(&table));
        let shown = admin::of(&layer, recent.clone());
        let layer = observed(layer, serving.access_log, measured.as_ref(), recent);
        let with_metrics = |app| match &measured {
            Some(measured) => measured.mount(app),
            None => app,
        };
        // Clients of other machines take no engine out of service.
        let shown_here = match address.local()?.ip().is_loopback() {
            true => shown.clone(),
            false => shown.clone().read_only(),
        };
        let app = || {
            let (layer, client) = (layer.clone(), client.with_own_connections());
            let mut app = server::app(layer, client, forward.clone(), args.show_endpoints);
            if let Some(cors) = serving.cors() {
                app = app.layer(cors);
            }
            let app = health.mount(app);
            match view.here {
                true => with_metrics(admin::mount(app, shown_here.clone(), view)),
                false => app,
            }
        };
        let workers = (0..serving.workers()).map(|_| Worker::start(app()));
        let workers = workers.collect::<io::Result<_>>()?;
        if let Some(addr) = serving.admin {
            let admin = with_metrics(admin::mount(Router::new(), shown, view));
            beside(addr, "The admin view is", "_", health.mount(admin), serving)?;
        }
        if let Some(addr) = serving.metrics_listen {
            let metrics = with_metrics(Router::new());
            let metrics = health.mount(metrics);
            beside(addr, "The metrics are", "metrics", metrics, serving)?;
        }
        Ok(Self {
            address,
            workers,
            in_flight,
            health,
            serving,
            _metrics: metrics,
        })
    }

    /// Where it will take requests.
    pub(crate) fn url(&self) -> io::Result<String> {
        Ok(format!("http://{}", self.address.local()?))
    }

    /// Serves from when `ready` is until it is asked to stop, and then finishes what is in flight.
    /// Before, connections are refused, so that clients go elsewhere at once. `introduce` gets the
    /// URL when requests may come.
    ///
    /// # Errors
    /// `ready` has one, or the address is taken.
    pub(crate) async fn serve(
        self,
        ready: impl Future<Output = Result<(), Box<dyn Error>>>,
        introduce: impl FnOnce(&str),
        mut signals: Signals,
    ) -> Result<(), Box<dyn Error>> {
        tokio::select! {
            ready = ready => ready?,
            () = signals.next() => {
                log("Stopped.");
                return Ok(());
            }
        }
        let url = self.url()?;
        let Self {
            workers,
            health,
            in_flight,
            ..
        } = self;
        let (max, send_timeout) = (self.serving.max_connections(), self.serving.send_timeout);
        let gateway = Listener::new(self.address.listen()?, workers, max, send_timeout);
        health.serve();
        introduce(&url);
        let stop = CancellationToken::new();
        let answered = async {
            gateway.serve(stop.cancelled(), || in_flight.none()).await;
            stop::settled().await;
        };
        tokio::select! {
            () = answered => {}
            () = stop::time_is_up(&stop, signals, &health, &in_flight, self.serving) => {}
        }
        stop::stopped(&in_flight);
        Ok(())
    }
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
fn beside(
    addr: SocketAddr,
    what: &str,
    path: &str,
    app: Router,
    serving: &Serving,
) -> Result<(), Box<dyn Error>> {
    let address = Address::reserve(addr)?;
    say(format_args!("{what} at http://{}/{path}", address.local()?));
    let workers = vec![Worker::here(app)];
    let listener = Listener::new(address.listen()?, workers, ADMINS, serving.send_timeout);
    tokio::spawn(listener.serve(future::pending(), || future::ready(())));
    Ok(())
}
