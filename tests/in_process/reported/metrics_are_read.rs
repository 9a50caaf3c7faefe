//! The engines' metrics are read at regular intervals, and what they say counts.

use std::time::Duration;

use bytes::Bytes;
use test_kit::{
    body::script,
    engines::{Act, Engines, answers, fails, says, status},
    gateway::Rig,
    paused::settle,
    request::chat_of,
    table::one_server,
};
use tower_model_route::{
    EndpointHealth, EngineMetrics, EngineMetricsHandle, LoadReport, MistakeKind, ReportSource,
    TrafficPolicy,
};

use crate::SECOND;

fn page(running: u32, waiting: u32) -> Act {
    says(
        200,
        &format!(
            "# TYPE vllm:num_requests_running gauge\n\
             vllm:num_requests_running{{engine=\"0\",model_name=\"m\"}} {running}.0\n\
             vllm:num_requests_waiting{{engine=\"0\",model_name=\"m\"}} {waiting}.0\n"
        ),
    )
}

/// Two endpoints, and engines of their own for the metrics.
fn rig() -> (Rig, Engines) {
    (
        Rig::new(one_server(2, TrafficPolicy::new())),
        Engines::default(),
    )
}

fn start(rig: &Rig, engines: &Engines) -> EngineMetricsHandle {
    let metrics = EngineMetrics::new();
    metrics.start(rig.table.clone(), engines.service()).unwrap()
}

/// To which of the two so many requests go that stay.
async fn held(rig: &Rig, requests: usize) -> [usize; 2] {
    let _gate = rig.engines.hold();
    let _all: Vec<_> = (0..requests).map(|_| rig.spawn()).collect();
    settle().await;
    ["e0", "e1"].map(|host| rig.endpoint(host).in_flight())
}

#[tokio::test(start_paused = true)]
async fn once_a_second_until_it_is_stopped() {
    let (rig, engines) = rig();
    let handle = start(&rig, &engines);
    tokio::time::sleep(5 * SECOND / 2).await;
    let attempts = engines.attempts();
    assert_eq!(attempts.len(), 6);
    assert!(
        attempts
            .iter()
            .all(|attempt| attempt.uri().path() == "/metrics")
    );
    handle.stop().await;
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(engines.attempts().len(), 0);
    assert_eq!((rig.endpoint("e0").requests(), rig.in_flight()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_others_have_there_counts() {
    let (rig, engines) = rig();
    engines.always("e0", || page(4, 2));
    engines.always("e1", || page(0, 0));
    let _reading = start(&rig, &engines);
    tokio::time::sleep(SECOND / 2).await;
    assert_eq!(held(&rig, 10).await, [2, 8]);
    let endpoint = rig.endpoint("e0");
    let reported = endpoint.reported()[0];
    assert_eq!(reported.source(), ReportSource::Scraped);
    assert_eq!(reported.report(), LoadReport::new().running(4).waiting(2));
    assert_eq!(reported.age(), SECOND / 2);
}

/// Of four requests so many go to each, `later` after ten of the gateway's own have ended of which
/// `page`, of the first, still counts five.
async fn after_ten_ended(page: fn() -> Act, later: Duration) -> [usize; 2] {
    let (rig, engines) = rig();
    engines.always("e0", page);
    engines.always("e1", || says(200, ""));
    let gate = rig.engines.hold();
    let all: Vec<_> = (0..10).map(|_| rig.spawn()).collect();
    settle().await;
    let _reading = start(&rig, &engines);
    tokio::time::sleep(SECOND / 2).await;
    // Five at each, of which e1 says nothing: it is not idle.
    assert_eq!(rig.in_flight(), 10);
    gate.add_permits(10);
    for one in all {
        one.await.unwrap();
    }
    tokio::time::sleep(later).await;
    assert_eq!(rig.in_flight(), 0);
    held(&rig, 4).await
}

/// A page that lags says nothing of requests that are gone, and hides none that are there.
#[tokio::test(start_paused = true)]
async fn the_gateways_own_are_taken_off_as_long_as_a_page_may_lag() {
    let vllm = || page(5, 0);
    assert_eq!(after_ten_ended(vllm, 5 * SECOND).await, [2, 2]);
    assert_eq!(after_ten_ended(vllm, 7 * SECOND).await, [0, 4]);
}

/// SGLang's gauges stay as they were for 30 s when its last request has ended.
#[tokio::test(start_paused = true)]
async fn an_sglang_that_has_become_idle_does_not_look_busy() {
    let sglang = || {
        says(
            200,
            "sglang:num_running_reqs{engine_type=\"unified\",model_name=\"m\",tp_rank=\"0\"} 5.0\n\
             sglang:num_queue_reqs{engine_type=\"unified\",model_name=\"m\",tp_rank=\"0\"} 0.0\n",
        )
    };
    assert_eq!(after_ten_ended(sglang, 31 * SECOND).await, [2, 2]);
    assert_eq!(after_ten_ended(sglang, 40 * SECOND).await, [0, 4]);
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_two_seconds_is_ignored() {
    let (rig, engines) = rig();
    engines.at("e0", [page(6, 0)]);
    engines.everywhere(fails);
    let _reading = start(&rig, &engines);
    tokio::time::sleep(2 * SECOND + Duration::from_millis(1)).await;
    assert_eq!(held(&rig, 10).await, [5, 5]);
}

#[tokio::test(start_paused = true)]
async fn engines_without_metrics_or_with_odd_ones_go_on() {
    fn endless() -> Act {
        let (script, body) = script();
        for _ in 0..80 {
            script.send(Bytes::from(vec![b'x'; 64 * 1024]));
        }
        script.send("\nvllm:num_requests_running 9\n");
        script.end();
        answers(200, body)
    }
    fn broken() -> Act {
        let (script, body) = script();
        script.send("vllm:num_requests_running 9\n");
        script.fail("reset");
        answers(200, body)
    }
    for act in [
        fails,
        || status(404),
        || Act::Hang,
        || page(9, 0).late(2 * SECOND),
        endless,
        broken,
        || says(200, "{\"detail\": \"no page\"}"),
        || {
            says(
                200,
                "vllm:num_requests_running NaN\nvllm:num_requests_waiting -1\n",
            )
        },
        || says(200, "vllm:num_requests_running 1e300\n"),
    ] {
        let (rig, engines) = rig();
        engines.always("e0", act);
        let _reading = start(&rig, &engines);
        tokio::time::sleep(5 * SECOND).await;
        let endpoint = rig.endpoint("e0");
        assert_eq!(endpoint.health(), EndpointHealth::Healthy);
        assert_eq!(endpoint.consecutive_failures(), 0);
        assert!(endpoint.reported().is_empty(), "{:?}", endpoint.reported());
        assert_eq!(held(&rig, 10).await, [5, 5]);
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_page_is_and_what_it_asks_for_can_be_said() {
    let (rig, engines) = rig();
    let metrics = EngineMetrics::new()
        .path("/prometheus/metrics")
        .header("x-team", "blue")
        .interval(SECOND / 2);
    let _reading = metrics.start(rig.table.clone(), engines.service()).unwrap();
    tokio::time::sleep(SECOND / 4).await;
    let attempts = engines.attempts();
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0].uri().path(), "/prometheus/metrics");
    assert_eq!(attempts[0].header("x-team"), Some("blue"));
}

#[tokio::test]
async fn mistakes_are_refused() {
    let start = |metrics: EngineMetrics| {
        let (rig, engines) = rig();
        let error = metrics.start(rig.table, engines.service()).unwrap_err();
        error.mistakes()[0].kind().clone()
    };
    let path = start(EngineMetrics::new().path("metrics"));
    assert!(matches!(path, MistakeKind::InvalidPath(_)), "{path:?}");
    let time = start(EngineMetrics::new().timeout(Duration::ZERO));
    assert!(matches!(time, MistakeKind::ZeroTime), "{time:?}");
    let twice = EngineMetrics::new().header("x", "1").header("X", "2");
    let twice = start(twice);
    assert!(matches!(twice, MistakeKind::DuplicateHeader), "{twice:?}");
}

/// An adapter's requests go where it is at work, by the series that is the latest.
#[tokio::test(start_paused = true)]
async fn the_adapters_at_work_are_known() {
    fn at_work(now: &str, before: &str) -> Act {
        let series = |names: &str, at: f64| {
            format!(
                "vllm:lora_requests_info{{max_lora=\"1\",running_lora_adapters=\"{names}\",\
                 waiting_lora_adapters=\"\"}} {at:?}\n"
            )
        };
        says(
            200,
            &[series(now, 1.7958e9), series(before, 1.7957e9)].concat(),
        )
    }
    let (rig, engines) = rig();
    engines.always("e0", || at_work("other", "lora"));
    engines.always("e1", || at_work("other,lora", "other"));
    let _reading = start(&rig, &engines);
    tokio::time::sleep(SECOND / 2).await;
    for _ in 0..10 {
        rig.send(chat_of(r#"{"model":"lora","messages":[]}"#)).await;
    }
    assert_eq!(rig.engines.hosts(), ["e1"; 10]);
}
