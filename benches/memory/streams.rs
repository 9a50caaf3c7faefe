//! What a proxy holds for streams that are open, of which each has had one event.

use std::fs;

use crate::{
    MB,
    load::open_stream,
    proxies::{self, Process, Result},
    settle,
};

/// The proxies, the bare one first.
const ROLES: [(&str, &str); 3] = [
    ("bare", "role:bare"),
    ("routed", "role:routed"),
    ("the whole stack", "role:stack"),
];

/// Prints what each proxy holds for `streams` of them, or as many as the system lets it have.
pub(crate) async fn measure(rounds: usize, streams: usize) -> Result<()> {
    // A proxy has two sockets a stream.
    let streams = streams.min(most_files().saturating_sub(100) / 2);
    println!("\n{streams} open streams; medians of {rounds} rounds\n");
    println!(
        "{:<42} {:>8} {:>8} {:>12} {:>12}",
        "RSS, MB", "idle", "held", "a stream, B", "over bare, B"
    );
    let mut bare = f64::NAN;
    for (name, role) in ROLES {
        let mut figures = Vec::new();
        for _ in 0..rounds {
            figures.push(held(role, streams).await?);
        }
        let idle = proxies::median(figures.iter().map(|(idle, _)| *idle));
        let held = proxies::median(figures.iter().map(|(_, held)| *held));
        let each = (held - idle) / streams as f64;
        if role == ROLES[0].1 {
            bare = each;
        }
        println!(
            "{name:<42} {:>8.1} {:>8.1} {each:>12.0} {:>12.0}",
            idle / MB,
            held / MB,
            each - bare,
        );
    }
    Ok(())
}

/// The resident memory of a proxy at rest, and with so many streams.
async fn held(role: &str, streams: usize) -> Result<(f64, f64)> {
    let engine = Process::start("role:streams", None)?;
    let proxy = Process::start(role, Some(engine.address))?;
    // What a proxy needs once, for its first request, is not held for a stream.
    drop(open_stream(proxy.address).await?);
    settle(&[&proxy, &engine]).await;
    let idle = proxy.resident();
    let mut open = Vec::with_capacity(streams);
    for _ in 0..streams {
        open.push(open_stream(proxy.address).await?);
    }
    settle(&[&proxy, &engine]).await;
    Ok((idle, proxy.resident()))
}

/// How many files a process may have open; a thousand if the system does not say.
fn most_files() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    soft.unwrap_or(1000)
}
