//! Whole proxies on loopback, each a process of its own: a copy of the benchmark in a role.
#![allow(dead_code, unreachable_pub, reason = "each bench uses a part of it")]

mod process;
mod roles;
mod streaming;

use std::net::SocketAddr;

use tower_model_route::{ModelRouteLayer, RouteTable};

pub use process::Process;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T> = std::result::Result<T, BoxError>;

/// How the proxies of a benchmark differ from those of another.
pub struct Options {
    /// The layer of the routed one.
    pub layer: fn(RouteTable) -> ModelRouteLayer,
    /// The HTTP client's connections that are kept while they are idle.
    pub idle_connections: usize,
}

/// What this process is to do.
pub enum Task {
    /// To serve in a role until it is killed.
    Serve {
        role: String,
        engine: Option<SocketAddr>,
    },
    /// To measure; `quick` for a run that just shows that it works.
    Measure { quick: bool },
}

impl Task {
    pub fn from_arguments() -> Result<Self> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let given = |flag| arguments.iter().any(|argument| argument == flag);
        Ok(match &*arguments {
            [role, address @ ..] if role.starts_with("role:") => Self::Serve {
                role: role.clone(),
                engine: address.first().map(|address| address.parse()).transpose()?,
            },
            // Cargo passes `--bench` from `cargo bench` only.
            _ => Self::Measure {
                quick: given("--quick") || !given("--bench"),
            },
        })
    }
}

pub async fn serve(role: &str, engine: Option<SocketAddr>, options: &Options) -> Result<()> {
    roles::run(role, engine, options).await
}

/// Of figures in any order; NaN if there are none.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
