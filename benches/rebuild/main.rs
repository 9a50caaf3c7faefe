//! What a new table costs in a large cluster, and what it costs the requests that are under way.
//!
//! `cargo bench --bench rebuild`: 10,000 ModelRoutes, 100 and 1,000 ModelServers and 1,000 Pods,
//! read once. Then the table is made and replaced, with nothing known before, with one route
//! changed, and with one Pod changed; with 1,000 of the routes wrong, too. Last, 64 connections
//! through a gateway on loopback, without rebuilds and with as many as a watch makes, in turns. With
//! `-- --quick` a short run, which shows that it works.
#![allow(missing_docs)]

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use axum::{Router, routing::post};
use http::{Request, Uri};
use tower::ServiceBuilder;
use tower_model_route::{RouteBody, RouteTable, RouteTableHandle, stack};

use self::{
    cluster::{Cluster, Sizes},
    load::{at, client, compare, load, serve},
};

mod cluster;
#[path = "../support/load.rs"]
mod load;

/// How long a watch waits for more changes.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// A watch rests for so many times what the last table took.
const REST: u32 = 9;
/// What no change waits longer for.
const MOST: Duration = Duration::from_secs(1);

/// What is different from the table before.
#[derive(Clone, Copy, Debug)]
enum Change {
    All,
    Route,
    Pod,
}

/// The times of making a table, of replacing that before, and of dropping this, which the last
/// request that it served does.
type Times = [Duration; 3];

fn rebuild(
    cluster: &mut Cluster,
    handle: &RouteTableHandle,
    change: Change,
    round: usize,
) -> Result<Times, Box<dyn Error + Send + Sync>> {
    match change {
        Change::All => {}
        Change::Route => cluster.change_route(round),
        Change::Pod => cluster.change_pod(round % 2 == 1),
    }
    let begun = Instant::now();
    let manifests = cluster.manifests();
    let manifests = match change {
        Change::All => manifests,
        Change::Route | Change::Pod => manifests.after(&handle.table()),
    };
    let table = manifests.build()?;
    drop(manifests);
    let made = begun.elapsed();
    let old = handle.table();
    let begun = Instant::now();
    handle.replace(table);
    let replaced = begun.elapsed();
    let begun = Instant::now();
    drop(old);
    Ok([made, replaced, begun.elapsed()])
}

fn measure(sizes: Sizes, rounds: usize) -> Result<(), Box<dyn Error + Send + Sync>> {
    let Sizes {
        routes,
        servers,
        pods,
        ..
    } = sizes;
    let before = resident();
    let begun = Instant::now();
    let mut cluster = Cluster::new(sizes);
    let read = begun.elapsed();
    println!("{routes} ModelRoutes, {servers} ModelServers, {pods} Pods");
    let (bytes, held) = (cluster.yaml_bytes, resident().saturating_sub(before));
    println!("  read in {read:.0?}, {bytes} bytes of YAML, {held} KiB resident");
    let before = resident();
    let table = cluster.manifests().build()?;
    let made = table.config().get_model_routes().len();
    if made != routes {
        return Err(format!("{made} of the {routes} routes are right").into());
    }
    let handle = RouteTableHandle::new(table);
    let held = resident().saturating_sub(before);
    println!("  the first table: {held} KiB resident");
    for change in [Change::All, Change::Route, Change::Pod] {
        let mut times = Vec::new();
        for round in 0..rounds {
            times.push(rebuild(&mut cluster, &handle, change, round)?);
        }
        report(&format!("{change:?}"), &times);
    }
    let wrong = Sizes { wrong: 10, ..sizes };
    let mut cluster = Cluster::new(wrong);
    let mut times = Vec::new();
    for round in 0..rounds {
        times.push(rebuild(&mut cluster, &handle, Change::Pod, round)?);
    }
    report("Pod, 10 % wrong", &times);
    Ok(())
}

fn report(name: &str, times: &[Times]) {
    print!("  {name:16}");
    for (position, what) in ["made", "replaced", "dropped"].into_iter().enumerate() {
        let mut times: Vec<_> = times.iter().map(|times| times[position]).collect();
        times.sort();
        print!(
            "  {what} in {:.2?} (at best {:.2?})",
            at(&times, 0.5),
            times[0]
        );
    }
    println!();
}

/// The memory of this process in KiB, where the system says it.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

/// Every engine is this one.
fn to_engine(
    engine: &Uri,
) -> impl Fn(Request<RouteBody>) -> Request<RouteBody> + Clone + Send + 'static {
    let engine = engine.clone();
    move |mut request| {
        let mut parts = engine.clone().into_parts();
        parts.path_and_query = request.uri().path_and_query().cloned();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        request
    }
}

async fn under_load(sizes: Sizes, rounds: usize, time: Duration) -> Result<(), Box<dyn Error>> {
    let engine = serve(Router::new().fallback(post(|| async { "{}" }))).await?;
    let handle = RouteTableHandle::new(RouteTable::builder().build()?);
    let engines = ServiceBuilder::new()
        .map_request(to_engine(&engine.parse()?))
        .service(client::<RouteBody>());
    let stack = stack(handle.clone()).service(engines);
    let url = serve(Router::new().fallback_service(stack)).await? + "/v1/completions";
    let mut cluster = Cluster::new(sizes);
    handle.replace(cluster.manifests().build()?);
    load(&url, Duration::from_secs(1), sizes.routes).await?;
    for change in [Change::Route, Change::Pod] {
        for _ in 0..rounds {
            let without = load(&url, time, sizes.routes).await?;
            let stop = Arc::new(AtomicBool::new(false));
            let rebuilds = {
                let (stop, handle) = (Arc::clone(&stop), handle.clone());
                thread::spawn(move || {
                    let mut times = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let rebuilt = rebuild(&mut cluster, &handle, change, times.len());
                        let times_of = rebuilt.expect("the objects are valid");
                        times.push(times_of);
                        let took: Duration = times_of.iter().sum();
                        thread::sleep((took * REST).clamp(DEBOUNCE, MOST));
                    }
                    (cluster, times)
                })
            };
            let with = load(&url, time, sizes.routes).await?;
            stop.store(true, Ordering::Relaxed);
            let (returned, times) = rebuilds.join().map_err(|_| "the rebuilds failed")?;
            cluster = returned;
            report(&format!("{} x {change:?}", times.len()), &times);
            compare(("without rebuilds", &without), ("with rebuilds", &with));
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let (routes, pods) = if is_quick {
        (1_000, 200)
    } else {
        (10_000, 1_000)
    };
    let (times, rounds, time) = if is_quick { (3, 1, 1) } else { (15, 3, 5) };
    let sizes = |servers| Sizes {
        routes,
        servers,
        pods,
        wrong: 0,
    };
    for servers in [pods / 10, pods] {
        measure(sizes(servers), times).map_err(|error| error.to_string())?;
    }
    under_load(sizes(pods / 10), rounds, Duration::from_secs(time)).await
}
