//! What the engines' state does to an explanation.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::Request;
use http_body_util::Full;
use test_kit::{
    engines::{Act, EngineService, Engines, status},
    request::chat_of,
};
use tower::ServiceExt;
use tower_model_route::{
    ModelRoute, ModelServer, OutlierDetection, RouteTable, Rule, TargetModel, TrafficPolicy,
    Verdict, stack,
};

use super::tables::chat;

/// `bad` fails, `slow` never answers, the others are fine.
fn engines() -> EngineService {
    let engines = Engines::default();
    engines.always("bad", || status(502));
    engines.always("slow", || Act::Hang);
    engines.service()
}

fn table(policy: TrafficPolicy, first: &[&str], second: &[&str]) -> RouteTable {
    let server = |name: &str, endpoints: &[&str]| {
        ModelServer::new(name)
            .endpoints(endpoints.iter().copied())
            .traffic_policy(policy.clone())
    };
    RouteTable::builder()
        .model_server(server("first", first))
        .model_server(server("second", second))
        .model_route(
            ModelRoute::new("r").model_name("m").rule(
                Rule::new("x")
                    .target(TargetModel::new("first").weight(1))
                    .target(TargetModel::new("second").weight(1)),
            ),
        )
        .build()
        .unwrap()
}

fn ask() -> Request<Full<Bytes>> {
    chat_of(r#"{"model":"m"}"#)
}

async fn send(table: &RouteTable, times: usize) {
    let service = stack(table.clone()).service(engines());
    for _ in 0..times {
        service.clone().oneshot(ask()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_ejected_endpoint_takes_none_until_it_is_tried_again() {
    let detection = OutlierDetection::new()
        .consecutive_failures(1)
        .max_ejection_percent(100)
        .base_ejection_time(Duration::from_secs(10));
    let table = table(
        TrafficPolicy::new().outlier_detection(detection),
        &["http://bad"],
        &["http://good"],
    );
    send(&table, 4).await;
    tokio::time::advance(Duration::from_millis(2500)).await;
    let text = table.explain(&chat(&[]), "m").to_string();
    assert!(
        text.contains("target \"first\": 50 % (weight 1), now 0 %\n"),
        "{text}"
    );
    assert!(
        text.contains("target \"second\": 50 % (weight 1), now 100 %\n"),
        "{text}"
    );
    let ejected = "endpoint http://bad: takes none now, ejected for another 7.5 s, 0 in flight\n";
    assert!(text.contains(ejected), "{text}");
    assert!(text.ends_with("it goes to \"second\""), "{text}");
    tokio::time::advance(Duration::from_secs(8)).await;
    let text = table.explain(&chat(&[]), "m").to_string();
    assert!(
        text.contains("endpoint http://bad: takes requests, half-open, 0 in flight\n"),
        "{text}"
    );
}

#[tokio::test]
async fn where_all_are_out_the_least_bad_one_serves() {
    let detection = OutlierDetection::new()
        .consecutive_failures(1)
        .max_ejection_percent(100);
    let policy = TrafficPolicy::new().outlier_detection(detection);
    let table = table(policy, &["http://bad"], &["http://bad/2"]);
    send(&table, 2).await;
    let explained = table.explain(&chat(&[]), "m");
    assert_eq!(explained.verdict(), Verdict::Sent);
    for target in explained.targets() {
        assert_eq!(target.current_share(), 50.0);
        assert!(target.endpoints()[0].takes_requests());
    }
    assert!(table.decide(&chat(&[]), "m").is_ok());
}

#[tokio::test]
async fn full_endpoints_take_none_and_the_request_is_shed() {
    let policy = TrafficPolicy::new().max_in_flight(1);
    let table = table(policy, &["http://slow"], &[]);
    let service = stack(table.clone()).service(engines());
    let mut held = service.oneshot(ask()).boxed();
    assert!((&mut held).now_or_never().is_none());
    let explained = table.explain(&chat(&[]), "m");
    let text = explained.to_string();
    assert_eq!(explained.verdict(), Verdict::Refused);
    assert!(text.contains("endpoint http://slow: takes none now, healthy, 1 of 1 in flight\n"));
    assert!(
        text.contains("it is answered with 503 overloaded: "),
        "{text}"
    );
    let decided = table.decide(&chat(&[]), "m").unwrap_err();
    assert_eq!(decided.kind(), explained.error().unwrap().kind());
    drop(held);
    assert_eq!(table.explain(&chat(&[]), "m").verdict(), Verdict::Sent);
}

#[tokio::test]
async fn where_it_may_wait_it_does() {
    let policy = TrafficPolicy::new().max_in_flight(1).max_queue(1);
    let table = table(policy, &["http://slow"], &[]);
    let service = stack(table.clone()).service(engines());
    let mut held = service.clone().oneshot(ask()).boxed();
    assert!((&mut held).now_or_never().is_none());
    let explained = table.explain(&chat(&[]), "m");
    assert_eq!(explained.verdict(), Verdict::Queued);
    assert!(explained.error().is_none());
    let text = explained.to_string();
    let end = "all endpoints are full: it waits for one of \"first\"";
    assert!(text.ends_with(end), "{text}");
    assert!(text.contains("up to 1 waiting for 1s\n"), "{text}");
    let mut waiting = service.oneshot(ask()).boxed();
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!(table.explain(&chat(&[]), "m").verdict(), Verdict::Refused);
}

#[tokio::test]
async fn the_endpoints_counts_are_shown() {
    let table = table(TrafficPolicy::new(), &["http://a"], &["http://b"]);
    send(&table, 10).await;
    let explained = table.explain(&chat(&[]), "m");
    for target in explained.targets() {
        assert_eq!(target.endpoints()[0].state().requests(), 5);
        assert_eq!(target.requests(), 5);
    }
}
