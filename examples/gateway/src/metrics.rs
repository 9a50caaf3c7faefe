//! Metrics for Prometheus.

use std::{sync::Arc, time::Duration};

use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use tower_model_route::{Metrics, RouteTableHandle};

/// How often what was measured is summed up, so that it takes no memory between two scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// How long a gauge is told that is not collected any more: each Pod that comes has a series of its
/// own.
const GONE: Duration = Duration::from_secs(3600);

/// What is measured, and how it is told.
#[derive(Clone)]
pub(crate) struct Measured {
    pub(crate) metrics: Arc<Metrics>,
    exporter: PrometheusHandle,
}

impl Measured {
    /// Measures from now on what is routed by `table`.
    pub(crate) fn new(table: &RouteTableHandle) -> Result<Self, BuildError> {
        let exporter = exporter(GONE)?.install_recorder()?;
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

/// What forgets gauges that were not collected for so long.
fn exporter(gone: Duration) -> Result<PrometheusBuilder, BuildError> {
    let exporter = PrometheusBuilder::new()
        .with_recommended_naming(true)
        .idle_timeout(MetricKindMask::GAUGE, Some(gone));
    Metrics::BUCKETS
        .iter()
        .try_fold(exporter, |exporter, (name, buckets)| {
            exporter.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)
        })
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tower_model_route::{Endpoint, ModelServer, RouteTable};

    use super::*;

    /// A table with a Pod of this name, always at the same address.
    fn pod(name: &str) -> RouteTable {
        let endpoint = Endpoint::new("http://10.0.0.7:8000").name(name);
        let server = ModelServer::new("small").endpoint(endpoint);
        RouteTable::builder().model_server(server).build().unwrap()
    }

    #[test]
    fn pods_that_are_gone_are_forgotten_and_the_others_are_not() {
        let gone = Duration::from_millis(20);
        let recorder = exporter(gone).unwrap().build_recorder();
        let table = RouteTableHandle::new(pod("first"));
        let metrics = Metrics::new(&table);
        let scrape = || {
            metrics::with_local_recorder(&recorder, || metrics.collect());
            recorder.handle().render()
        };
        let info = |text: &str, name: &str| {
            let mut lines = text.lines();
            let line = lines.find(|line| line.contains(&format!("name=\"{name}\"")))?;
            line.rsplit(' ').next()?.parse::<f64>().ok()
        };
        assert_eq!(info(&scrape(), "first"), Some(1.0));
        table.replace(pod("second"));
        let text = scrape();
        assert_eq!(
            (info(&text, "first"), info(&text, "second")),
            (Some(0.0), Some(1.0))
        );
        // Nobody scrapes for longer than that.
        thread::sleep(2 * gone);
        let text = scrape();
        assert_eq!(
            (info(&text, "first"), info(&text, "second")),
            (None, Some(1.0))
        );
        for gauge in [
            "in_flight",
            "queue_length",
            "endpoint_health",
            "reload_error",
        ] {
            assert!(text.contains(&format!("\nmodel_route_{gauge}")), "{text}");
        }
        table.replace(pod("first"));
        assert_eq!(info(&scrape(), "first"), Some(1.0));
    }
}
