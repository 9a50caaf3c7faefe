//! What replacing a large table costs the requests that are under way.
//!
//! `cargo bench --bench reload`: 64 connections through a gateway on loopback, for some seconds
//! without reloads and for some with a reload of 1,000 routes and 1,000 ModelServers every 200 ms,
//! in turns. With `-- --quick` a short run, which shows that it works.
#![allow(missing_docs)]

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, routing::post};
use tower_model_route::{
    ModelRoute, ModelServer, RouteBody, RouteTable, RouteTableHandle, Rule, stack,
};

use self::load::{client, compare, load, serve};

#[path = "support/load.rs"]
mod load;

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

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let (rounds, time) = if is_quick { (1, 1) } else { (3, 5) };
    let engine = serve(Router::new().fallback(post(|| async { "{}" }))).await?;
    let handle = RouteTableHandle::new(table(&engine));
    let stack = stack(handle.clone()).service(client::<RouteBody>());
    let url = serve(Router::new().fallback_service(stack)).await? + "/v1/completions";
    load(&url, Duration::from_secs(1), SIZE).await?;
    for round in 1..=rounds {
        let time = Duration::from_secs(time);
        let without = load(&url, time, SIZE).await?;
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
        let with = load(&url, time, SIZE).await?;
        stop.store(true, Ordering::Relaxed);
        let longest = reloads.join().map_err(|_| "the reloads failed")?;
        println!("round {round}: replace() took at most {longest:.2?}");
        compare(("without reloads", &without), ("with reloads", &with));
    }
    Ok(())
}
