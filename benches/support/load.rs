//! A gateway on loopback under load.

use std::{
    error::Error,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Body};
use http::Request;
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{net::TcpListener, task::JoinSet};

/// How many send at once.
const CONNECTIONS: usize = 64;

/// Serves on a free port of loopback; the URL.
pub(crate) async fn serve(app: Router) -> std::io::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

pub(crate) fn client<B>() -> Client<HttpConnector, B>
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// The latencies of all requests within `time`, sorted; they name `model-0` and so on.
pub(crate) async fn load(
    url: &str,
    time: Duration,
    models: usize,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let (url, stop) = (url.to_owned(), Arc::clone(&stop));
        clients.spawn(async move {
            let client = client::<Body>();
            let mut latencies = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let model = (connection * 31 + latencies.len()) % models;
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

pub(crate) fn at(latencies: &[Duration], part: f64) -> Duration {
    let position = (latencies.len() as f64 * part) as usize;
    latencies[position.min(latencies.len() - 1)]
}

/// Two loads, the second with something going on, and how often it is slower than 1.5 times the p99
/// of the first.
pub(crate) fn compare(without: (&str, &[Duration]), with: (&str, &[Duration])) {
    let bound = at(without.1, 0.99).mul_f64(1.5);
    for (name, all) in [without, with] {
        println!(
            "  {name:16} {:7} requests, p50 {:.2?}, p99 {:.2?}, p99.9 {:.2?}, max {:.2?}, {} above {bound:.2?}",
            all.len(),
            at(all, 0.5),
            at(all, 0.99),
            at(all, 0.999),
            at(all, 1.0),
            all.iter().filter(|time| **time > bound).count(),
        );
    }
}
