//! Metrics of requests, engines and limits, for the `metrics` facade.

mod cache;
mod collect;
mod collected;
mod names;
mod recorder;
mod series;

pub use self::recorder::Metrics;
