//! The two times for the first content event.

use test_kit::{gateway::Rig, paused::within, table::retries};
use tokio::time::Instant;
use tower_model_route::{EndpointHealth, OutlierDetection, TrafficPolicy};

use super::{CHAT, SECOND, read};

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
    for (after, status) in [(2999, 200), (3001, 504)] {
        let (script, act) = CHAT.stream();
        rig.engines.next([act]);
        let feed = async {
            tokio::time::sleep(std::time::Duration::from_millis(after)).await;
            script.data(CHAT.content).data(CHAT.terminal).end();
        };
        let (answer, ()) = tokio::join!(CHAT.ask(&rig), feed);
        assert_eq!(answer.0.status(), status);
    }
}

/// With the gate and without it the attempt goes on.
#[tokio::test(start_paused = true)]
async fn a_slow_one_counts_as_a_failure_and_goes_on() {
    for gate in [true, false] {
        let detection = OutlierDetection::new().consecutive_failures(3);
        let policy = TrafficPolicy::new()
            .first_event_slow(2 * SECOND)
            .first_event_gate(gate);
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
        let policy = TrafficPolicy::new()
            .first_event_slow(2 * SECOND)
            .first_event_gate(gate);
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
