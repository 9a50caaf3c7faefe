//! What replacing a large table costs the requests that are under way.
//!
//! `cargo bench --bench reload`: 64 connections through a gateway on loopback, for some seconds
//! without reloads and for some with a reload of 1,000 routes and 1,000 ModelServers every 200 ms,
//! in turns. With `-- --quick` a short run, which shows that it works.
#![allow(missing_docs)]

use std::{
    error::Error,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Body, routing::post};
use http::Request;
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{net::TcpListener, task::JoinSet};
use tower_model_route::{
    ModelRoute, ModelServer, RouteBody, RouteTable, RouteTableHandle, Rule, stack,
};

const CONNECTIONS: usize = 64;
const SIZE: usize = 1000;

fn table(engine: &str) -> RouteTable {
    let mut table = RouteTable::builder();
    for i in 0..SIZE {
        let name = format!("model-{i}");
        table = table
            .model_server(ModelServer::new(&name).model("real").endpoint(engine))
            .model_route(
                ModelRoute::new(&name)
                    .model_name(&name)
                    .rule(Rule::new("all").target(&*name)),
            );
    }
    table.build().expect("the table is valid")
}

async fn serve(app: Router) -> std::io::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

fn client<B>() -> Client<HttpConnector, B>
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// The latencies of all requests within `time`, sorted.
async fn load(url: &str, time: Duration) -> Result<Vec<Duration>, Box<dyn Error>> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let (url, stop) = (url.to_owned(), Arc::clone(&stop));
        clients.spawn(async move {
            let client = client::<Body>();
            let mut latencies = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let model = (connection * 31 + latencies.len()) % SIZE;
                let body = format!(r#"{{"model":"model-{model}","prompt":"Hello"}}"#);
                let request = Request::post(&url).body(Body::from(body))?;
                let begun = Instant::now();
                let response = client.request(request).await?;
                let is_ok = response.status().is_success();
                response.into_body().collect().await?;
                latencies.push(begun.elapsed());
                if !is_ok {
                    return Err("a request failed".into());
                }
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(latencies)
        });
    }
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    while let Some(latencies) = clients.join_next().await {
        all.extend(latencies?.map_err(|error| error.to_string())?);
    }
    all.sort();
    Ok(all)
}

fn at(latencies: &[Duration], part: f64) -> Duration {
    let position = (latencies.len() as f64 * part) as usize;
    latencies[position.min(latencies.len() - 1)]
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let (rounds, time) = if is_quick { (1, 1) } else { (3, 5) };
    let engine = serve(Router::new().fallback(post(|| async { "{}" }))).await?;
    let handle = RouteTableHandle::new(table(&engine));
    let stack = stack(handle.clone()).service(client::<RouteBody>());
    let url = serve(Router::new().fallback_service(stack)).await? + "/v1/completions";
    load(&url, Duration::from_secs(1)).await?;
    for round in 1..=rounds {
        let time = Duration::from_secs(time);
        let without = load(&url, time).await?;
        let (stop, handle, engine) = (
            Arc::new(AtomicBool::new(false)),
            handle.clone(),
            engine.clone(),
        );
        let reloads = {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut longest = Duration::ZERO;
                while !stop.load(Ordering::Relaxed) {
                    let table = table(&engine);
                    let begun = Instant::now();
                    handle.replace(table);
                    longest = longest.max(begun.elapsed());
                    std::thread::sleep(Duration::from_millis(200));
                }
                longest
            })
        };
        let with = load(&url, time).await?;
        stop.store(true, Ordering::Relaxed);
        let longest = reloads.join().map_err(|_| "the reloads failed")?;
        let bound = at(&without, 0.99).mul_f64(1.5);
        let above = |all: &[Duration]| all.iter().filter(|time| **time > bound).count();
        println!("round {round}: replace() took at most {longest:.2?}");
        for (name, all) in [("without reloads", &without), ("with reloads", &with)] {
            println!(
                "  {name:15} {:7} requests, p50 {:.2?}, p99 {:.2?}, p99.9 {:.2?}, max {:.2?}, {} above {bound:.2?}",
                all.len(),
                at(all, 0.5),
                at(all, 0.99),
                at(all, 0.999),
                at(all, 1.0),
                above(all),
            );
        }
    }
    Ok(())
}
