//! Answers that stop in the middle.

use std::time::Duration;

use http_body_util::BodyExt;
use test_kit::{
    body::{Script, script},
    engines::answers,
    gateway::Rig,
    paused::{settle, within},
};
use tower_model_route::{
    EndpointHealth, OutlierDetection, RouteError, RouteErrorKind, TrafficPolicy,
};

use crate::SECOND;

fn idle(timeout: Duration) -> TrafficPolicy {
    TrafficPolicy::new().stream_idle_timeout(timeout)
}

/// An answer that has begun, and what feeds it.
async fn begun(rig: &Rig) -> (Script, axum::body::Body) {
    let (script, body) = script();
    rig.engines.next([answers(200, body)]);
    (script, rig.answer().await.into_body())
}

#[tokio::test(start_paused = true)]
async fn a_silence_breaks_the_answer_off_and_is_the_engines_failure() {
    let rig = Rig::one(2, idle(2 * SECOND));
    let (script, mut body) = begun(&rig).await;
    script.data("one");
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "one"
    );
    assert_eq!(rig.in_flight(), 1);
    let error = within(body.frame()).await.unwrap().unwrap_err();
    let error = std::error::Error::source(&error).unwrap();
    assert_eq!(
        error.downcast_ref::<RouteError>().unwrap().kind(),
        RouteErrorKind::UpstreamTimeout
    );
    assert!(script.is_dropped());
    assert_eq!(rig.in_flight(), 0);
    let servers = rig.table.servers();
    assert_eq!(
        servers[0]
            .endpoints()
            .iter()
            .map(|endpoint| endpoint.failures())
            .sum::<u64>(),
        1
    );
    // It is the end.
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn each_frame_begins_it_anew() {
    let rig = Rig::one(1, idle(2 * SECOND));
    let (script, body) = begun(&rig).await;
    let read = tokio::spawn(body.collect());
    for _ in 0..10 {
        tokio::time::sleep(2 * SECOND - Duration::from_millis(2)).await;
        script.data("x");
        settle().await;
    }
    script.end();
    assert_eq!(read.await.unwrap().unwrap().to_bytes().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn the_silence_before_the_first_frame_counts() {
    let rig = Rig::one(1, idle(SECOND));
    let (_script, mut body) = begun(&rig).await;
    assert!(within(body.frame()).await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_is_not_cut_off() {
    let rig = Rig::one(1, idle(2 * SECOND));
    let (script, mut body) = begun(&rig).await;
    for n in 0..5 {
        script.data(format!("{n}"));
        tokio::time::sleep(100 * SECOND).await;
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), format!("{n}"));
    }
    // Nor is what it finds on its return held against the engine.
    tokio::time::sleep(100 * SECOND).await;
    let read = tokio::spawn(body.collect());
    tokio::time::sleep(SECOND).await;
    script.data("on").end();
    assert_eq!(read.await.unwrap().unwrap().to_bytes(), "on");
    assert_eq!(rig.endpoint("e0").failures(), 0);
}

#[tokio::test(start_paused = true)]
async fn by_default_it_is_five_minutes_and_zero_is_no_limit() {
    let rig = Rig::one(1, TrafficPolicy::new());
    let (_script, mut body) = begun(&rig).await;
    let start = tokio::time::Instant::now();
    assert!(body.frame().await.unwrap().is_err());
    assert_eq!(start.elapsed().as_secs(), 300);

    let rig = Rig::one(1, idle(Duration::ZERO));
    let (script, body) = begun(&rig).await;
    let read = tokio::spawn(body.collect());
    tokio::time::sleep(Duration::from_secs(90_000)).await;
    script.data("late").end();
    assert_eq!(read.await.unwrap().unwrap().to_bytes(), "late");
}

/// Its heads come in time, but they are not what it is asked for.
#[tokio::test(start_paused = true)]
async fn an_engine_whose_answers_break_off_one_after_the_other_is_ejected() {
    for stalls in [true, false] {
        let detection = OutlierDetection::new()
            .consecutive_failures(3)
            .max_ejection_percent(100);
        let rig = Rig::one(1, idle(SECOND).outlier_detection(detection));
        for n in 0..3 {
            assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Healthy);
            assert_eq!(rig.endpoint("e0").failures(), n);
            let (script, body) = begun(&rig).await;
            if !stalls {
                script.data("half").fail("reset");
            }
            assert!(within(body.collect()).await.is_err());
        }
        assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Ejected);
        // One that gets to its end is a good one.
        tokio::time::sleep(100 * SECOND).await;
        assert_eq!(rig.ask().await.text(), "ok");
        assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Healthy);
        assert_eq!(rig.endpoint("e0").consecutive_failures(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_counts_as_a_failure_counts_once_though_it_breaks_off() {
    let rig = Rig::one(1, TrafficPolicy::new());
    let (script, body) = script();
    rig.engines.next([answers(503, body)]);
    let answer = rig.answer().await;
    script.data("half").fail("reset");
    assert!(answer.into_body().collect().await.is_err());
    assert_eq!(rig.endpoint("e0").failures(), 1);
    assert_eq!(rig.endpoint("e0").consecutive_failures(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_says_nothing_of_the_engine() {
    let rig = Rig::one(1, idle(SECOND));
    let (script, body) = begun(&rig).await;
    script.data("half");
    drop(body);
    assert!(script.is_dropped());
    assert_eq!((rig.endpoint("e0").failures(), rig.in_flight()), (0, 0));
}
