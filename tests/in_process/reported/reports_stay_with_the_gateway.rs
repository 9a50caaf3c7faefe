//! A report that the gateway has asked for is not the client's; one that the client has asked for
//! is.

use test_kit::{
    answer::Answer,
    engines::{says, status},
    gateway::Rig,
    request::asked,
    table::{self, retries},
};
use tower_model_route::{Balance, ReportSource, Rule, TrafficPolicy};

use super::{FORMAT, METRICS, reports, rig};

#[tokio::test(start_paused = true)]
async fn what_the_gateway_asked_for_is_taken_out() {
    let rig = rig(2, Balance::LeastRequest);
    rig.engines.next([reports(says(200, "ok"), 7, 0.5)]);
    let answer = rig.ask().await;
    assert_eq!((answer.header(METRICS), answer.text()), (None, "ok"));
}

#[tokio::test(start_paused = true)]
async fn what_the_client_asked_for_is_passed_on_and_read_too() {
    let rig = rig(2, Balance::LeastRequest);
    rig.engines.next([reports(says(200, "ok"), 7, 0.5)]);
    let mut request = asked();
    request
        .headers_mut()
        .insert(FORMAT, "TEXT".parse().unwrap());
    let answer = Answer::of(rig.send(request).await).await;
    assert!(
        answer
            .header(METRICS)
            .unwrap()
            .starts_with("TEXT named_metrics.")
    );
    let endpoints = ["e0", "e1"].map(|host| rig.endpoint(host));
    let reported: Vec<_> = endpoints
        .iter()
        .flat_map(|endpoint| endpoint.reported())
        .collect();
    let [reported] = reported[..] else {
        panic!("{reported:?}");
    };
    assert_eq!(reported.source(), ReportSource::InBand);
    assert_eq!(reported.report().get_waiting(), Some(7));
    assert_eq!(reported.report().get_kv_cache_use(), Some(0.5));
    assert_eq!(reported.report().get_running(), None);
}

/// Neither an engine that has not been asked, nor a ModelServer that does not ask.
#[tokio::test(start_paused = true)]
async fn what_nobody_asked_for_is_left_alone() {
    let off = Rig::one(2, TrafficPolicy::new());
    off.engines.next([reports(says(200, "ok"), 7, 0.5)]);
    assert!(off.ask().await.header(METRICS).is_some());
    assert!(
        ["e0", "e1"]
            .iter()
            .all(|host| off.endpoint(host).reported().is_empty())
    );
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_retry_is_as_clean() {
    let server = table::server(2, retries(1)).load_reports(true);
    let rig = Rig::new(table::table([server], Rule::new("rule").target("server")));
    rig.engines
        .next([status(503), reports(says(200, "ok"), 7, 0.5)]);
    assert_eq!(rig.ask().await.header(METRICS), None);
}

#[tokio::test(start_paused = true)]
async fn odd_reports_do_nothing() {
    for odd in [
        "",
        "TEXT",
        "TEXT named_metrics.num_requests_waiting=NaN, named_metrics.kv_cache_usage_perc=-inf",
        "TEXT named_metrics.num_requests_waiting=-7",
        "TEXT named_metrics.num_requests_waiting=1e18",
        "JSON {\"named_metrics\":{\"num_requests_waiting\":1e999}}",
        &"TEXT named_metrics.num_requests_waiting=7, ".repeat(100_000),
    ] {
        let rig = rig(2, Balance::LeastRequest);
        rig.engines.next([says(200, "ok").header(METRICS, odd)]);
        let answer = rig.ask().await;
        assert_eq!((answer.header(METRICS), answer.text()), (None, "ok"));
        assert!(
            ["e0", "e1"]
                .iter()
                .all(|host| rig.endpoint(host).reported().is_empty())
        );
    }
}
