//! What engines say of their load, and what becomes of it.

mod asked_once_a_second;
mod metrics_are_read;
mod others_requests_count;
mod pushed_by_the_program;
mod reports_stay_with_the_gateway;

use test_kit::{engines::Act, gateway::Rig, table};
use tower_model_route::{Balance, RouteTable, Rule, TrafficPolicy};

const FORMAT: &str = "endpoint-load-metrics-format";
const METRICS: &str = "endpoint-load-metrics";

/// The model `asked` goes to so many endpoints that are asked for reports.
fn table_of(endpoints: usize, balance: Balance) -> RouteTable {
    let server = table::server(endpoints, TrafficPolicy::new())
        .balance(balance)
        .load_reports(true);
    table::table([server], Rule::new("rule").target("server"))
}

fn rig(endpoints: usize, balance: Balance) -> Rig {
    Rig::new(table_of(endpoints, balance))
}

/// A report as vLLM writes it.
fn reports(act: Act, waiting: u32, kv_cache: f64) -> Act {
    let report = format!(
        "TEXT named_metrics.num_requests_waiting={waiting:?}.0, \
         named_metrics.kv_cache_usage_perc={kv_cache:?}"
    );
    act.header(METRICS, &report)
}
