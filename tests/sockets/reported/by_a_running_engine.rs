//! Engines on sockets that say how they are, in their answers and in their metrics.

use std::time::Duration;

use mock_llm::Engine;
use test_kit::{socket::Stacked, table, time::eventually};
use tower_model_route::{
    EngineMetrics, LoadReport, ModelServer, ReportSource, Rule, engine_client,
};

#[tokio::test]
async fn in_its_answers_and_in_its_metrics() {
    let busy = Engine::new("asked").load_of_others(9, 7, 0.5);
    let (busy, idle) = (
        busy.spawn().await.unwrap(),
        Engine::new("asked").spawn().await.unwrap(),
    );
    let server = ModelServer::new("server")
        .endpoints([busy.url(), idle.url()])
        .load_reports(true);
    let table = table::table([server], Rule::new("rule").target("server"));
    let stacked = Stacked::by_engine_client(table).await;
    let body = r#"{"model":"asked","messages":[{"role":"user","content":"Hello"}]}"#;
    // Nothing is known yet, so they take turns.
    for _ in 0..2 {
        let answer = stacked.say(body).await;
        assert_eq!(
            (
                answer.status().as_u16(),
                answer.header("endpoint-load-metrics")
            ),
            (200, None)
        );
    }
    let reported = || {
        table::endpoint(&stacked.table, &busy.url())
            .reported()
            .to_vec()
    };
    let in_band = reported();
    assert_eq!(in_band[0].source(), ReportSource::InBand);
    assert_eq!(
        in_band[0].report(),
        LoadReport::new().waiting(7).kv_cache_use(0.5)
    );

    let metrics = EngineMetrics::new().interval(Duration::from_millis(50));
    let reading = metrics
        .start(stacked.table.clone(), engine_client())
        .unwrap();
    eventually(|| reported().len() == 2).await;
    let scraped = reported()[1];
    assert_eq!(scraped.source(), ReportSource::Scraped);
    assert_eq!(
        scraped.report(),
        LoadReport::new().running(9).waiting(7).kv_cache_use(0.5)
    );
    // As long as it is read, the idle one gets what comes.
    let before = busy.requests();
    for _ in 0..20 {
        assert_eq!(stacked.say(body).await.status(), 200);
    }
    assert_eq!(busy.requests(), before);
    reading.stop().await;
}
