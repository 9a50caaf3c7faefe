//! The reports of a vLLM 0.32.0, byte for byte as it has sent them.

use test_kit::{
    socket::{Reply, Stacked, Upstream},
    table,
};
use tower_model_route::{LoadReport, ModelServer, ReportSource, RouteTable, Rule};

const TEXT: &[u8] = include_bytes!("captures/orca_text.http");
const JSON: &[u8] = include_bytes!("captures/orca_json.http");
/// To a request that had waited for 15 seconds among others.
const BUSY: &[u8] = include_bytes!("captures/orca_json_busy.http");

/// A server that asks, of one endpoint that answers, and of one that nobody needs.
fn table_of(engine: &Upstream) -> RouteTable {
    let server = ModelServer::new("server")
        .endpoint(engine.url())
        .endpoint("http://127.0.0.1:1")
        .load_reports(true);
    table::table([server], Rule::new("rule").target("server"))
}

#[tokio::test]
async fn both_forms_are_read_and_not_passed_on() {
    for (capture, waiting) in [(TEXT, 0), (JSON, 0), (BUSY, 7)] {
        let engine = Upstream::start(move |_| Reply::new(capture)).await;
        let stacked = Stacked::by_engine_client(table_of(&engine)).await;
        let answer = stacked.ask().await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("endpoint-load-metrics"), None);
        assert_eq!(answer.header("server"), Some("uvicorn"));
        let endpoint = table::endpoint(&stacked.table, &engine.url());
        let [reported] = *endpoint.reported() else {
            panic!("{:?}", endpoint.reported());
        };
        assert_eq!(reported.source(), ReportSource::InBand);
        let said = LoadReport::new().waiting(waiting).kv_cache_use(0.0);
        assert_eq!(reported.report(), said);
    }
}
