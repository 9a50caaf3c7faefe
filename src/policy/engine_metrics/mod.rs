//! The load of engines, as their metrics have it.

mod gauges;
mod options;
mod samples;
mod scrape;

pub use self::options::{EngineMetrics, EngineMetricsHandle};
