//! Load reports in the headers of answers, in the format of Open Request Cost Aggregation
//! (ORCA).
//!
//! vLLM 0.32 answers `endpoint-load-metrics-format: TEXT` on plain chats and completions with
//! `endpoint-load-metrics: TEXT named_metrics.num_requests_waiting=0.0,
//! named_metrics.kv_cache_usage_perc=0.0`, Triton with `kv_cache_utilization` in the same form.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::server::{LoadReport, requests};

/// By which a request asks.
pub(crate) const FORMAT: HeaderName = HeaderName::from_static("endpoint-load-metrics-format");
/// By which an answer reports.
const METRICS: HeaderName = HeaderName::from_static("endpoint-load-metrics");
/// A report that is longer is not read.
const MAX_BYTES: usize = 4096;
/// What comes before the name of a metric of one's own.
const NAMED: &str = "named_metrics.";

/// Has the engine report its load.
pub(crate) fn ask(headers: &mut HeaderMap) {
    headers.insert(FORMAT, HeaderValue::from_static("TEXT"));
}

/// Whether the client itself asks for a report.
pub(crate) fn asks(headers: &HeaderMap) -> bool {
    headers.contains_key(FORMAT)
}

/// What an answer reports.
pub(crate) fn read(headers: &HeaderMap) -> LoadReport {
    let text = headers.get(METRICS);
    let text = text.filter(|text| text.len() <= MAX_BYTES);
    text.and_then(|text| text.to_str().ok())
        .map(parse)
        .unwrap_or_default()
}

/// The client has not asked.
pub(crate) fn hide(headers: &mut HeaderMap) {
    headers.remove(METRICS);
}

fn parse(text: &str) -> LoadReport {
    match text.trim().split_once(' ') {
        Some(("TEXT", pairs)) => {
            let pairs = pairs.split(',').filter_map(|pair| pair.split_once('='));
            pairs.fold(LoadReport::new(), |report, (name, value)| {
                let name = name.trim();
                let name = name.strip_prefix(NAMED).unwrap_or(name);
                let value = value.trim().parse();
                value.map_or(report, |value| with(report, name, value))
            })
        }
        Some(("JSON", object)) => {
            let object: Value = serde_json::from_str(object).unwrap_or_default();
            let named = object.get("named_metrics").and_then(Value::as_object);
            named
                .into_iter()
                .flatten()
                .fold(LoadReport::new(), |report, (name, value)| {
                    value
                        .as_f64()
                        .map_or(report, |value| with(report, name, value))
                })
        }
        _ => LoadReport::new(),
    }
}

/// The names that vLLM and Triton have.
fn with(report: LoadReport, name: &str, value: f64) -> LoadReport {
    match name {
        "num_requests_waiting" => requests(value).map_or(report, |count| report.waiting(count)),
        "num_requests_running" => requests(value).map_or(report, |count| report.running(count)),
        "kv_cache_usage_perc" | "kv_cache_utilization" => report.kv_cache_use(value),
        _ => report,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_from(text: &str) -> LoadReport {
        let mut headers = HeaderMap::new();
        headers.insert(METRICS, HeaderValue::from_bytes(text.as_bytes()).unwrap());
        read(&headers)
    }

    /// The first two are a vLLM 0.32's, byte for byte.
    #[test]
    fn both_forms_are_read() {
        let idle = LoadReport::new().waiting(0).kv_cache_use(0.0);
        for (text, expected) in [
            (
                "TEXT named_metrics.num_requests_waiting=0.0, named_metrics.kv_cache_usage_perc=0.0",
                idle,
            ),
            (
                r#"JSON {"named_metrics": {"num_requests_waiting": 0.0, "kv_cache_usage_perc": 0.0}}"#,
                idle,
            ),
            (
                "TEXT named_metrics.num_requests_waiting=7.0, named_metrics.kv_cache_usage_perc=0.25",
                LoadReport::new().waiting(7).kv_cache_use(0.25),
            ),
            (
                "TEXT cpu_utilization=0.5, kv_cache_utilization=0.5,num_requests_running = 3",
                LoadReport::new().running(3).kv_cache_use(0.5),
            ),
        ] {
            assert_eq!(read_from(text), expected, "{text}");
        }
    }

    #[test]
    fn what_no_engine_can_mean_is_left_out() {
        for text in [
            "",
            "TEXT",
            "TEXT ",
            "BIN named_metrics.num_requests_waiting=7",
            "TEXT named_metrics.num_requests_waiting=NaN, named_metrics.kv_cache_usage_perc=NaN",
            "TEXT named_metrics.num_requests_waiting=-1, named_metrics.kv_cache_usage_perc=-0.1",
            "TEXT named_metrics.num_requests_waiting=1e300, named_metrics.kv_cache_usage_perc=1e9",
            "TEXT named_metrics.num_requests_waiting=inf, named_metrics.kv_cache_usage_perc=inf",
            "TEXT num_requests_waiting, =, ==,,,",
            r#"JSON {"named_metrics": {"num_requests_waiting": "7"}}"#,
            r#"JSON {"named_metrics": [7]}"#,
            r#"JSON {"named_metrics": {"num_requests_waiting": 7"#,
            "JSON [[[[",
        ] {
            assert!(read_from(text).is_empty(), "{text}");
        }
        let long = format!("TEXT num_requests_waiting=7,{}", "x".repeat(MAX_BYTES));
        assert!(read_from(&long).is_empty());
    }

    proptest! {
        #[test]
        fn no_header_is_too_odd(text in "(TEXT|JSON)? ?[ -~]{0,80}") {
            let _any = read_from(&text);
        }

        #[test]
        fn every_number_is_read_or_left_out(waiting: f64, share: f64) {
            let report = read_from(&format!(
                "TEXT named_metrics.num_requests_waiting={waiting}, \
                 named_metrics.kv_cache_usage_perc={share}"
            ));
            prop_assert!(report.get_waiting().is_none_or(|count| count as f64 - waiting <= 0.5));
            prop_assert!(report.get_kv_cache_use().is_none_or(|read| read == share));
        }
    }
}
