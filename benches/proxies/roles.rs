//! The roles: engines, the bare proxy, and those with the layer in it.

use std::{
    fs::File,
    io::BufWriter,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Body, Incoming},
    server::conn::{http1, http2},
    service::{Service, service_fn},
};
use hyper_util::{
    client::legacy::{self, Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::net::TcpListener;
use tower::Layer;
use tower_model_route::{
    Metrics, ModelRoute, ModelRouteLayer, ModelServer, RouteBody, RouteTable, RouteTableHandle,
    Rule, TrafficPolicy, stack,
};
use tracing_subscriber::{filter::LevelFilter, fmt, prelude::*};

use super::{Options, Result, streaming};
use crate::support::{
    MODEL, REAL,
    floor::{Floor, Target},
};

/// Serves in this role until it is killed; its address is the first line of its output. A role that
/// ends in `2` speaks HTTP/2 to its clients.
pub(super) async fn run(role: &str, engine: Option<SocketAddr>, options: &Options) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let Some(engine) = engine else {
        return match role {
            "role:streams" => serve(listener, service_fn(streaming::answer), false).await,
            _ => serve(listener, service_fn(answer), false).await,
        };
    };
    let is_http2 = role.ends_with('2');
    let layer = |policy| Ok::<_, super::BoxError>((options.layer)(table(engine, policy)?));
    match role.trim_end_matches('2') {
        "role:bare" => {
            let to = Target::new(engine)?;
            let client = client(options);
            let service = service_fn(move |request| client.request(to.forwarded(request)));
            serve(listener, service, is_http2).await
        }
        "role:floor" => {
            let floor = Floor::to(Target::new(engine)?, REAL);
            let client = Shared::new(client(options));
            let service = service_fn(move |request| {
                let client = client.clone();
                async move { client.0.request(floor.routed(request).await).await }
            });
            serve(listener, service, is_http2).await
        }
        "role:routed" => {
            let service = layer(TrafficPolicy::new())?.layer(Shared::new(client(options)));
            serve(listener, always_ready(service), is_http2).await
        }
        "role:stack" => {
            let layer = layer(retries())?;
            let service = stack(layer).service(Shared::new(client(options)));
            serve(listener, always_ready(service), is_http2).await
        }
        "role:told" => {
            let path = std::env::temp_dir().join(format!("told-{}.log", std::process::id()));
            let log = Mutex::new(BufWriter::new(File::create(&path)?));
            // Its name is needed no more, and nothing is to be left of it.
            std::fs::remove_file(path)?;
            let log = fmt::layer().with_ansi(false).with_writer(log);
            tracing_subscriber::registry()
                .with(LevelFilter::INFO)
                .with(log)
                .init();
            metrics::set_global_recorder(PrometheusBuilder::new().build_recorder())?;
            let handle = RouteTableHandle::new(table(engine, TrafficPolicy::new())?);
            let layer = ModelRouteLayer::new(handle.clone()).observer(Metrics::new(&handle));
            let service = layer.layer(Shared::new(client(options)));
            serve(listener, always_ready(service), is_http2).await
        }
        other => Err(format!("no role is called {other}").into()),
    }
}

/// A service for hyper, without the copies of the request that `TowerToHyperService` makes to wait
/// until the service is ready: the layer always is.
fn always_ready<S, B>(
    service: S,
) -> impl Service<Request<Incoming>, Response = Response<B>, Error = S::Error, Future = S::Future> + Clone
where
    S: tower::Service<Request<Incoming>, Response = Response<B>, Error: Into<super::BoxError>>
        + Clone,
    B: Body,
{
    service_fn(move |request| service.clone().call(request))
}

async fn serve<S, B>(listener: TcpListener, service: S, is_http2: bool) -> Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<super::BoxError>,
    B: Body<Data = Bytes, Error: Into<super::BoxError>> + Send + 'static,
{
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (io, service) = (TokioIo::new(stream), service.clone());
        if is_http2 {
            let connection = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(connection.serve_connection(io, service));
        } else {
            tokio::spawn(http1::Builder::new().serve_connection(io, service));
        }
    }
}

fn client<B>(options: &Options) -> Client<HttpConnector, B>
where
    B: Body<Data: Send> + Send,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(options.idle_connections)
        .build(connector)
}

/// hyper's client behind one count of references, as `engine_client` is: the bare proxy clones its
/// own once a request, within hyper, and so does this.
#[derive(Clone)]
struct Shared(Arc<Client<HttpConnector, RouteBody>>);

impl Shared {
    fn new(client: Client<HttpConnector, RouteBody>) -> Self {
        Self(Arc::new(client))
    }
}

impl tower::Service<Request<RouteBody>> for Shared {
    type Response = Response<Incoming>;
    type Error = legacy::Error;
    type Future = legacy::ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), legacy::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RouteBody>) -> legacy::ResponseFuture {
        self.0.request(request)
    }
}

/// All that can be allowed of attempts.
fn retries() -> TrafficPolicy {
    TrafficPolicy::new()
        .max_retries(2)
        .timeout(Duration::from_secs(60))
        .total_timeout(Duration::from_secs(600))
}

fn table(engine: SocketAddr, policy: TrafficPolicy) -> Result<RouteTable> {
    Ok(RouteTable::builder()
        .model_server(
            ModelServer::new("s")
                .model(REAL)
                .traffic_policy(policy)
                .endpoint(format!("http://{engine}")),
        )
        .model_route(
            ModelRoute::new("r")
                .model_name(MODEL)
                .rule(Rule::new("all").target("s")),
        )
        .build()?)
}

/// Reads a body to its end and answers; to a GET, with how much it has read of all bodies.
async fn answer(request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    static RECEIVED: AtomicU64 = AtomicU64::new(0);
    if *request.method() == Method::GET {
        let received = RECEIVED.load(Ordering::Relaxed).to_string();
        return Ok(Response::new(received.into()));
    }
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            RECEIVED.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
    }
    Ok(Response::new(Full::new(Bytes::from_static(
        br#"{"id":"cmpl-1","object":"text_completion","choices":[{"index":0,"text":"Hello"}]}"#,
    ))))
}
