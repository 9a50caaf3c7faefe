//! The roles: an engine that reads everything, the bare proxy, and the routed one.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use http::{Method, Request, Response, Uri, header::HOST, uri::PathAndQuery};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::Layer;
use tower_model_route::{ModelRoute, ModelServer, RouteTable, Rule};

use super::{Options, Result};
use crate::support::MODEL;

/// Serves in this role until it is killed; its address is the first line of its output.
pub(super) async fn run(role: &str, engine: Option<SocketAddr>, options: &Options) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    match (role, engine) {
        ("role:bare", Some(engine)) => {
            let client = client(options);
            let service = service_fn(move |request| client.request(forwarded(request, engine)));
            serve(listener, service).await
        }
        ("role:routed", Some(engine)) => {
            let service = (options.layer)(table(engine)?).layer(client(options));
            serve(listener, TowerToHyperService::new(service)).await
        }
        _ => serve(listener, service_fn(answer)).await,
    }
}

async fn serve<S, B>(listener: TcpListener, service: S) -> Result<()>
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(connection);
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

/// The least that any reverse proxy does: an absolute URI and the right Host.
fn forwarded(mut request: Request<Incoming>, engine: SocketAddr) -> Request<Incoming> {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", PathAndQuery::as_str);
    if let Ok(uri) = format!("http://{engine}{path}").parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    request.headers_mut().remove(HOST);
    request
}

fn table(engine: SocketAddr) -> Result<RouteTable> {
    Ok(RouteTable::builder()
        .model_server(
            ModelServer::new("s")
                .model("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B")
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
