//! Metrics for Prometheus.

use std::{sync::Arc, time::Duration};

use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tower_model_route::{Metrics, RouteTableHandle};

/// How often what was measured is summed up, so that it takes no memory between two scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// What is measured, and how it is told.
#[derive(Clone)]
pub(crate) struct Measured {
    pub(crate) metrics: Arc<Metrics>,
    exporter: PrometheusHandle,
}

impl Measured {
    /// Measures from now on what is routed by `table`.
    pub(crate) fn new(table: &RouteTableHandle) -> Result<Self, BuildError> {
        let exporter = PrometheusBuilder::new().with_recommended_naming(true);
        let exporter =
            Metrics::BUCKETS
                .iter()
                .try_fold(exporter, |exporter, (name, buckets)| {
                    exporter.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)
                })?;
        let exporter = exporter.install_recorder()?;
        let upkeep = exporter.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP).await;
                upkeep.run_upkeep();
            }
        });
        Ok(Self {
            metrics: Arc::new(Metrics::new(table)),
            exporter,
        })
    }

    /// Adds `/metrics` to `app`.
    pub(crate) fn mount(&self, app: Router) -> Router {
        let Self { metrics, exporter } = self.clone();
        let scrape = async move || {
            metrics.collect();
            let text = "text/plain; version=0.0.4; charset=utf-8";
            ([(CONTENT_TYPE, text)], exporter.render())
        };
        app.route("/metrics", get(scrape))
    }
}
