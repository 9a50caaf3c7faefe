//! The load of engines, read from their metrics.

mod gauges;
mod options;
mod samples;
mod scrape;

pub use self::options::{EngineMetrics, EngineMetricsHandle};
