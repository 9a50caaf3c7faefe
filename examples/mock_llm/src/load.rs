//! What the engine says of its load: metrics, and reports in its answers.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// By which a request asks for a report.
const FORMAT: &str = "endpoint-load-metrics-format";
const METRICS: HeaderName = HeaderName::from_static("endpoint-load-metrics");

/// What the engine does beside the requests that it really has.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    pub(crate) running: u64,
    pub(crate) waiting: u64,
    /// From 0 to 1.
    pub(crate) kv_cache: f64,
}

impl Load {
    /// A page in Prometheus' format, with vLLM's names; `in_flight` are the real requests.
    pub(crate) fn page(self, model: &str, in_flight: u64) -> String {
        let labels = format!("{{engine=\"0\",model_name={model:?}}}");
        let gauges = [
            ("num_requests_running", (self.running + in_flight) as f64),
            ("num_requests_waiting", self.waiting as f64),
            ("kv_cache_usage_perc", self.kv_cache),
        ];
        let gauge = |(name, value)| {
            format!(
                "# HELP vllm:{name} What a mock says.\n# TYPE vllm:{name} gauge\nvllm:{name}{labels} {value:?}\n"
            )
        };
        gauges.map(gauge).concat()
    }

    /// The report that a request with these headers asks for, as vLLM has it.
    pub(crate) fn report(self, headers: &HeaderMap) -> Option<(HeaderName, HeaderValue)> {
        let Self {
            waiting, kv_cache, ..
        } = self;
        let report = match &*headers.get(FORMAT)?.to_str().ok()?.to_uppercase() {
            "TEXT" => format!(
                "TEXT named_metrics.num_requests_waiting={waiting}.0, \
                 named_metrics.kv_cache_usage_perc={kv_cache:?}"
            ),
            "JSON" => format!(
                r#"JSON {{"named_metrics": {{"num_requests_waiting": {waiting}.0, "kv_cache_usage_perc": {kv_cache:?}}}}}"#
            ),
            _ => return None,
        };
        Some((METRICS, report.try_into().ok()?))
    }
}
