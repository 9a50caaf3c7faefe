//! Engines that say when to come back.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use test_kit::{
    engines::{Act, says},
    gateway::Rig,
    table::retries,
};
use tower_model_route::{EndpointHealth, OutlierDetection, TrafficPolicy};

use crate::SECOND;

fn busy(status: u16, retry_after: &str) -> Act {
    says(status, "busy").header("retry-after", retry_after)
}

/// Two endpoints, one of which has said this; and which one.
async fn told(act: Act, detection: OutlierDetection) -> (Rig, String) {
    let rig = Rig::one(2, TrafficPolicy::new().outlier_detection(detection));
    rig.engines.next([act]);
    assert_ne!(rig.ask().await.status(), 200);
    let host = rig.engines.hosts().remove(0);
    (rig, host)
}

/// How long it gets no requests, in whole seconds.
async fn passed_over(rig: &Rig, host: &str) -> u64 {
    for seconds in 0..1000 {
        for _ in 0..20 {
            rig.ask().await;
        }
        if rig.engines.hosts().iter().any(|to| to == host) {
            return seconds;
        }
        tokio::time::sleep(SECOND).await;
    }
    panic!("it never came back");
}

#[tokio::test(start_paused = true)]
async fn it_gets_no_requests_for_so_long() {
    for status in [429, 503, 529] {
        let (rig, host) = told(busy(status, "7"), OutlierDetection::new()).await;
        assert_eq!(rig.endpoint(&host).health(), EndpointHealth::Cooling);
        assert_eq!(rig.endpoint(&host).failures(), 0);
        assert_eq!(passed_over(&rig, &host).await, 7);
        assert_eq!(rig.endpoint(&host).health(), EndpointHealth::Healthy);
    }
}

#[tokio::test(start_paused = true)]
async fn a_date_is_as_good() {
    let date = httpdate(SystemTime::now() + Duration::from_secs(31));
    let (rig, host) = told(busy(429, &date), OutlierDetection::new()).await;
    let seconds = passed_over(&rig, &host).await;
    assert!((20..=31).contains(&seconds), "{seconds}");
    let (rig, host) = told(
        busy(429, &httpdate(SystemTime::UNIX_EPOCH)),
        OutlierDetection::new(),
    )
    .await;
    assert_eq!(passed_over(&rig, &host).await, 0);
}

fn httpdate(time: SystemTime) -> String {
    httpdate::fmt_http_date(time)
}

#[tokio::test(start_paused = true)]
async fn no_more_is_believed_than_the_cap() {
    for long in ["61", "100000000", "18446744073709551615"] {
        let (rig, host) = told(busy(503, long), OutlierDetection::new()).await;
        assert_eq!(passed_over(&rig, &host).await, 60);
    }
    let cap = OutlierDetection::new().max_retry_after(Duration::from_secs(3));
    let (rig, host) = told(busy(503, "60"), cap).await;
    assert_eq!(passed_over(&rig, &host).await, 3);
    let none = OutlierDetection::new().max_retry_after(Duration::ZERO);
    let (rig, host) = told(busy(503, "60"), none).await;
    assert_eq!(passed_over(&rig, &host).await, 0);
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_not_believed_and_makes_a_503_an_ordinary_failure() {
    for nonsense in [
        "soon",
        "-1",
        "1.5",
        "99999999999999999999999",
        "",
        "7 seconds",
    ] {
        let (rig, host) = told(busy(503, nonsense), OutlierDetection::new()).await;
        assert_eq!(rig.endpoint(&host).failures(), 1, "{nonsense}");
        assert_eq!(rig.endpoint(&host).health(), EndpointHealth::Healthy);
        let (rig, host) = told(busy(429, nonsense), OutlierDetection::new()).await;
        assert_eq!(rig.endpoint(&host).failures(), 0, "{nonsense}");
        assert_eq!(passed_over(&rig, &host).await, 1, "{nonsense}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_with_429_503_and_529_it_is_for_us() {
    for status in [301, 413, 502, 504] {
        let (rig, host) = told(busy(status, "7"), OutlierDetection::new()).await;
        assert_eq!(
            rig.endpoint(&host).health(),
            EndpointHealth::Healthy,
            "{status}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_passed_on_with_the_answer() {
    let rig = Rig::one(2, retries(1));
    rig.engines.next([busy(429, "100"), busy(503, "soon")]);
    let answer = rig.ask().await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), Some("soon"));
}

#[tokio::test(start_paused = true)]
async fn when_all_ask_for_a_pause_the_first_to_be_back_serves() {
    let rig = Rig::one(2, TrafficPolicy::new());
    rig.engines.next([busy(429, "50"), busy(429, "20")]);
    for _ in 0..2 {
        rig.ask().await;
    }
    let hosts = rig.engines.hosts();
    assert_ne!(hosts[0], hosts[1]);
    for _ in 0..5 {
        assert_eq!(rig.ask().await.status(), 200);
    }
    assert!(rig.engines.hosts().iter().all(|host| *host == hosts[1]));
}

#[tokio::test(start_paused = true)]
async fn a_shorter_pause_does_not_end_a_longer_one() {
    let rig = Rig::one(1, TrafficPolicy::new());
    rig.engines.next([busy(429, "50"), busy(429, "2")]);
    rig.ask().await;
    rig.ask().await;
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Cooling);
    tokio::time::sleep(40 * SECOND).await;
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Healthy);
}
