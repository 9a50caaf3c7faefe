//! One request, and an engine that is at fault, beside one that is not.

use std::time::Duration;

use test_kit::{
    socket::{Reply, Stacked, Upstream},
    time::within,
};
use tower_model_route::{EndpointHealth, OutlierDetection, TrafficPolicy};

use super::engine::healthy;

fn policy() -> TrafficPolicy {
    TrafficPolicy::new()
        .max_retries(1)
        .retry_interval(Duration::from_millis(1))
        .timeout(Duration::from_secs(1))
        .stream_idle_timeout(Duration::from_secs(1))
        .outlier_detection(OutlierDetection::new().consecutive_failures(1))
}

/// An engine that replies so, whatever it is asked.
async fn engine(reply: Reply) -> Upstream {
    Upstream::abrupt(move |_| reply.clone()).await
}

async fn pair(reply: Reply) -> (Upstream, Upstream, Stacked) {
    let [faulty, healthy] = [engine(reply).await, healthy().await];
    let gateway = Stacked::over([faulty.url(), healthy.url()], policy()).await;
    (faulty, healthy, gateway)
}

/// Asks until the faulty one has had its request; nobody sees an error.
async fn all_is_well(gateway: &Stacked, faulty: &Upstream) {
    for _ in 0..200 {
        let got = within(gateway.ask()).await;
        assert_eq!(
            (got.status().as_u16(), got.body.as_deref().ok()),
            (200, Some(&b"ok"[..]))
        );
        if faulty.requests() > 0 {
            break;
        }
    }
    assert_eq!(faulty.requests(), 1);
    within(gateway.is_idle()).await;
}

fn health(gateway: &Stacked) -> EndpointHealth {
    gateway.table.servers()[0].endpoints()[0].health()
}

#[tokio::test]
async fn a_black_hole() {
    let (faulty, _healthy, gateway) = pair(Reply::hang()).await;
    all_is_well(&gateway, &faulty).await;
    assert_eq!(health(&gateway), EndpointHealth::Ejected);
}

#[tokio::test]
async fn a_reset() {
    let (faulty, _healthy, gateway) = pair(Reply::close()).await;
    all_is_well(&gateway, &faulty).await;
    // It may have been an idle connection.
    assert_eq!(health(&gateway), EndpointHealth::Healthy);
}

#[tokio::test]
async fn half_a_head() {
    let (faulty, _healthy, gateway) =
        pair(Reply::new("HTTP/1.1 200 OK\r\nContent-Le").then_hang()).await;
    all_is_well(&gateway, &faulty).await;
    assert_eq!(health(&gateway), EndpointHealth::Ejected);
}

#[tokio::test]
async fn something_that_is_not_http() {
    let (faulty, _healthy, gateway) = pair(Reply::new("\u{1}\u{2}\u{3}what?\r\n\r\n")).await;
    all_is_well(&gateway, &faulty).await;
    assert_eq!(health(&gateway), EndpointHealth::Ejected);
}

#[tokio::test]
async fn a_503_that_says_when_to_come_back() {
    let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 30\r\nContent-Length: 4\r\n\r\nbusy";
    let (faulty, _healthy, gateway) = pair(Reply::new(busy)).await;
    all_is_well(&gateway, &faulty).await;
    assert_eq!(health(&gateway), EndpointHealth::Cooling);
    for _ in 0..20 {
        assert_eq!(gateway.ask().await.status(), 200);
    }
    assert_eq!(faulty.requests(), 1);
}

#[tokio::test]
async fn a_400_is_asked_for_once_and_seen() {
    let bad = "HTTP/1.1 400 Bad Request\r\nX-Engine: 7\r\nContent-Length: 6\r\n\r\nno, no";
    let [one, other] = [engine(Reply::new(bad)).await, engine(Reply::new(bad)).await];
    let gateway = Stacked::over([one.url(), other.url()], policy()).await;
    for n in 1..10 {
        let got = gateway.ask().await;
        assert_eq!(
            (got.status().as_u16(), got.body.as_deref().ok()),
            (400, Some(&b"no, no"[..]))
        );
        assert_eq!(got.headers()["x-engine"], "7");
        assert_eq!(one.requests() + other.requests(), n);
    }
}

#[tokio::test]
async fn an_answer_that_stalls_breaks_off() {
    let begun = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntok\r\n";
    let engine = engine(Reply::new(begun).then_hang()).await;
    let gateway = Stacked::over([engine.url()], policy()).await;
    let got = within(gateway.ask()).await;
    assert_eq!(got.status(), 200);
    assert!(got.body.is_err(), "it must not look whole");
    assert_eq!(engine.requests(), 1);
    within(gateway.is_idle()).await;
    assert_eq!(gateway.table.servers()[0].endpoints()[0].failures(), 1);
}

#[tokio::test]
async fn an_engine_that_is_not_there() {
    let gone = healthy().await;
    let url = gone.url();
    gone.kill().await;
    let gateway = Stacked::over([url], policy()).await;
    let got = gateway.ask().await;
    assert_eq!(got.status(), 502);
    assert_eq!(got.headers()["content-type"], "application/json");
}

#[tokio::test]
async fn a_503_then_a_reset_is_the_503() {
    let busy = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";
    let [busy, resets] = [engine(Reply::new(busy)).await, engine(Reply::close()).await];
    let off = policy().outlier_detection(OutlierDetection::off());
    let gateway = Stacked::over([busy.url(), resets.url()], off).await;
    // Whichever came first.
    for _ in 0..10 {
        let got = gateway.ask().await;
        assert_eq!(
            (got.status().as_u16(), got.body.as_deref().ok()),
            (503, Some(&b"busy"[..]))
        );
    }
    // The first loss of a request may have been that of an idle connection.
    assert_eq!(busy.requests(), 10);
    assert!((10..=20).contains(&resets.requests()));
}
