//! The two times for the first content event.

use std::time::Duration;

use http::Response;

use test_kit::{
    body::script,
    engines::status,
    gateway::Rig,
    paused::{settle, within},
    table::{retries, table},
};
use tokio::time::{Instant, sleep};
use tower_model_route::{
    Balance, EndpointHealth, ModelServer, OutlierDetection, Rule, TrafficPolicy,
};

use super::{CHAT, SECOND, read};

/// Slow from two seconds on.
fn slow(gate: bool) -> TrafficPolicy {
    TrafficPolicy::new()
        .first_event_slow(2 * SECOND)
        .first_event_gate(gate)
}

/// What a client gets whose engine has its first content so many milliseconds late.
async fn after(rig: &Rig, late: u64) -> (Response<()>, Result<String, String>) {
    let (script, act) = CHAT.stream();
    rig.engines.next([act]);
    let feed = async {
        sleep(Duration::from_millis(late)).await;
        script.data(CHAT.content).data(CHAT.terminal).end();
    };
    tokio::join!(CHAT.ask(rig), feed).0
}

#[tokio::test(start_paused = true)]
async fn after_its_timeout_another_endpoint_is_asked() {
    let rig = Rig::one(2, retries(1).first_event_timeout(3 * SECOND));
    let (slow, act) = CHAT.stream();
    slow.data(CHAT.start);
    rig.engines
        .next([act, CHAT.says(&[CHAT.content, CHAT.terminal])]);
    let start = Instant::now();
    let answer = within(rig.send(CHAT.request())).await;
    assert_eq!(start.elapsed().as_secs(), 3);
    assert!(slow.is_dropped());
    assert_eq!(
        read(answer).await.1.unwrap(),
        [CHAT.content, CHAT.terminal].concat()
    );
    assert_eq!(rig.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn with_nothing_left_it_is_504() {
    let rig = Rig::one(1, TrafficPolicy::new().first_event_timeout(3 * SECOND));
    let (_script, act) = CHAT.stream();
    rig.engines.next([act]);
    let (head, _) = CHAT.ask(&rig).await;
    assert_eq!(head.status(), 504);
    assert_eq!(rig.endpoint("e0").failures(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_moment_counts() {
    let rig = Rig::one(1, TrafficPolicy::new().first_event_timeout(3 * SECOND));
    for (late, status) in [(2999, 200), (3000, 504), (3001, 504)] {
        assert_eq!(after(&rig, late).await.0.status(), status, "{late}");
    }
}

#[tokio::test(start_paused = true)]
async fn slow_is_from_its_time_on() {
    for gate in [true, false] {
        for (late, failures) in [(1999, 0), (2001, 1)] {
            let rig = Rig::one(1, slow(gate));
            assert!(after(&rig, late).await.1.is_ok());
            assert_eq!(rig.endpoint("e0").failures(), failures, "{late} {gate}");
        }
    }
}

/// Whatever comes of it: it has failed, and once.
#[tokio::test(start_paused = true)]
async fn a_slow_attempt_counts_once() {
    for code in [200, 400, 429, 500, 502, 503] {
        let detection = OutlierDetection::new().consecutive_failures(9);
        let policy = slow(false).outlier_detection(detection);
        let rig = Rig::one(1, policy);
        rig.engines.next([status(code).late(5 * SECOND)]);
        rig.ask().await;
        assert_eq!(rig.endpoint("e0").failures(), 1, "{code}");
        // In a row.
        for _ in 0..8 {
            rig.engines.next([status(502)]);
            rig.ask().await;
        }
        assert_eq!(rig.endpoint("e0").ejections(), 1, "{code}");
    }
}

/// An engine that waits for its request is not slow.
#[tokio::test(start_paused = true)]
async fn what_the_upload_takes_is_the_clients() {
    for gate in [true, false] {
        let policy = slow(gate);
        let rig = Rig::one(1, policy);
        let (answer, act) = CHAT.stream();
        rig.engines.next([act]);
        let (upload, body) = script();
        upload.data(r#"{"model":"asked","#);
        let feed = async {
            sleep(5 * SECOND).await;
            upload.data(r#""stream":true}"#).end();
            answer.data(CHAT.content).data(CHAT.terminal).end();
        };
        let request = http::Request::post(CHAT.path).body(body).unwrap();
        let (answer, ()) = tokio::join!(rig.send(request), feed);
        assert!(read(answer).await.1.is_ok());
        assert_eq!(rig.endpoint("e0").failures(), 0, "{gate}");
    }
}

/// The head, which vLLM sends at once, says nothing of how fast an engine is.
#[tokio::test(start_paused = true)]
async fn the_latency_that_counts_is_that_of_the_first_content() {
    for gate in [true, false] {
        let server = ModelServer::new("server")
            .endpoints(["http://e0", "http://e1"])
            .balance(Balance::PeakEwma)
            .traffic_policy(TrafficPolicy::new().first_event_gate(gate));
        let rig = Rig::new(table([server], Rule::new("rule").target("server")));
        for _ in 0..20 {
            let (script, act) = CHAT.stream();
            rig.engines.next([act]);
            let feed = async {
                settle().await;
                let is_slow = rig.endpoint("e0").in_flight() > 0;
                sleep(if is_slow { 5 * SECOND } else { SECOND }).await;
                script.data(CHAT.content).data(CHAT.terminal).end();
            };
            let (answer, ()) = tokio::join!(CHAT.ask(&rig), feed);
            assert!(answer.1.is_ok());
        }
        let slow = rig.engines.count("e0");
        assert!((1..=3).contains(&slow), "{slow} of 20, {gate}");
    }
}

#[tokio::test(start_paused = true)]
async fn zero_is_off() {
    let zero = Duration::ZERO;
    let policy = TrafficPolicy::new()
        .first_event_slow(zero)
        .first_event_timeout(zero)
        .stream_idle_timeout(zero)
        .sse_keepalive(zero);
    let rig = Rig::one(1, policy);
    let (script, act) = CHAT.stream();
    rig.engines.next([act]);
    // It is not held back.
    let answer = within(rig.send(CHAT.request())).await;
    let feed = async {
        sleep(100_000 * SECOND / 2).await;
        script.data(CHAT.content).data(CHAT.terminal).end();
    };
    let ((_, body), ()) = tokio::join!(read(answer), feed);
    assert_eq!(body.unwrap(), [CHAT.content, CHAT.terminal].concat());
    assert_eq!(rig.endpoint("e0").failures(), 0);
}

/// A trial that is slow has failed: the endpoint stays out.
#[tokio::test(start_paused = true)]
async fn a_slow_trial_has_failed() {
    let detection = OutlierDetection::new()
        .consecutive_failures(1)
        .base_ejection_time(10 * SECOND);
    let policy = slow(false).outlier_detection(detection);
    let rig = Rig::one(2, policy);
    rig.engines.at("e0", [status(502)]);
    rig.eject("e0").await;
    sleep(11 * SECOND).await;
    let (script, act) = CHAT.stream();
    rig.engines.at("e0", [act]);
    let feed = async {
        sleep(5 * SECOND).await;
        script.data(CHAT.content).data(CHAT.terminal).end();
    };
    let trial = async {
        while rig.engines.count("e0") < 2 {
            rig.engines
                .at("e1", [CHAT.says(&[CHAT.content, CHAT.terminal])]);
            assert!(CHAT.ask(&rig).await.1.is_ok());
        }
    };
    within(async { tokio::join!(trial, feed) }).await;
    let endpoint = rig.endpoint("e0");
    assert_eq!((endpoint.failures(), endpoint.ejections()), (2, 2));
    assert_eq!(endpoint.health(), EndpointHealth::Ejected);
}

/// With the gate and without it the attempt goes on.
#[tokio::test(start_paused = true)]
async fn a_slow_one_counts_as_a_failure_and_goes_on() {
    for gate in [true, false] {
        let detection = OutlierDetection::new().consecutive_failures(3);
        let policy = slow(gate);
        let rig = Rig::one(2, policy.outlier_detection(detection));
        for n in 1..=3 {
            let (script, act) = CHAT.stream();
            rig.engines.at("e0", [act]);
            rig.engines
                .at("e1", [CHAT.says(&[CHAT.content, CHAT.terminal])]);
            let feed = async {
                tokio::time::sleep(5 * SECOND).await;
                script.data(CHAT.content).data(CHAT.terminal).end();
            };
            // Until it is the turn of the slow one.
            let asked = async {
                while rig.engines.count("e0") < n {
                    let (head, body) = CHAT.ask(&rig).await;
                    assert_eq!(head.status(), 200);
                    assert_eq!(body.unwrap(), [CHAT.content, CHAT.terminal].concat());
                }
            };
            tokio::join!(asked, feed);
            assert_eq!(rig.endpoint("e0").failures(), n as u64, "gate: {gate}");
        }
        assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Ejected);
        assert_eq!(rig.endpoint("e1").failures(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn one_in_time_counts_for_nothing() {
    for gate in [true, false] {
        let policy = slow(gate);
        let rig = Rig::one(1, policy);
        let (script, act) = CHAT.stream();
        rig.engines.next([act]);
        let feed = async {
            tokio::time::sleep(SECOND).await;
            script.data(CHAT.content);
            tokio::time::sleep(60 * SECOND).await;
            script.data(CHAT.terminal).end();
        };
        let (answer, ()) = tokio::join!(CHAT.ask(&rig), feed);
        assert!(answer.1.is_ok());
        assert_eq!(rig.endpoint("e0").failures(), 0);
    }
}
