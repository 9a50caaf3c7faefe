//! Endpoints that fail in a row are left out, and how they come back.

use std::{collections::HashSet, time::Duration};

use test_kit::{
    answer::Answer,
    body::script,
    engines::{Act, answers, fails, status, times_out},
    gateway::Rig,
    paused::settle,
};
use tower_model_route::{EndpointHealth, OutlierDetection, TrafficPolicy};

use crate::SECOND;

const MILLISECOND: Duration = Duration::from_millis(1);

fn detection() -> OutlierDetection {
    OutlierDetection::new().consecutive_failures(3)
}

fn rig(endpoints: usize, detection: OutlierDetection) -> Rig {
    Rig::one(endpoints, TrafficPolicy::new().outlier_detection(detection))
}

/// Asks until `host` has been asked so often; the others answer as they are told.
async fn ask_until(rig: &Rig, host: &str, times: u64) {
    for _ in 0..10_000 {
        let asked = rig.endpoint(host).requests();
        if asked >= times {
            rig.engines.attempts();
            return;
        }
        rig.ask().await;
        if rig.endpoint(host).requests() == asked {
            // Its last failure counts as load.
            tokio::time::sleep(SECOND).await;
        }
    }
    panic!("{host} is not asked");
}

/// Lets `host` fail three times in a row.
async fn fail(rig: &Rig, host: &str) {
    let asked = rig.endpoint(host).requests();
    rig.engines.at(host, [fails(), fails(), fails()]);
    ask_until(rig, host, asked + 3).await;
}

/// The hosts that some requests go to.
async fn hosts(rig: &Rig) -> HashSet<String> {
    for _ in 0..30 {
        rig.ask().await;
    }
    rig.engines.hosts().into_iter().collect()
}

/// Two endpoints, of which `e0` has just been ejected.
async fn ejected(detection: OutlierDetection) -> Rig {
    let rig = rig(2, detection);
    fail(&rig, "e0").await;
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Ejected);
    rig
}

#[tokio::test(start_paused = true)]
async fn so_many_failures_in_a_row_eject() {
    for failure in [
        fails,
        times_out,
        || status(502),
        || status(503),
        || status(504),
    ] {
        let rig = rig(2, detection());
        rig.engines.at("e0", [failure(), failure()]);
        ask_until(&rig, "e0", 2).await;
        assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Healthy);
        assert_eq!(rig.endpoint("e0").consecutive_failures(), 2);
        // A success begins the count anew.
        ask_until(&rig, "e0", 3).await;
        assert_eq!(rig.endpoint("e0").consecutive_failures(), 0);
        rig.engines.at("e0", [failure(), failure(), failure()]);
        ask_until(&rig, "e0", 6).await;
        let snapshot = rig.endpoint("e0");
        assert_eq!(snapshot.health(), EndpointHealth::Ejected);
        assert_eq!((snapshot.ejections(), snapshot.failures()), (1, 5));
        assert!(snapshot.ejected_until().is_some());
        assert_eq!(hosts(&rig).await, HashSet::from(["e1".to_owned()]));
    }
}

#[tokio::test(start_paused = true)]
async fn five_are_too_many_by_default() {
    let rig = rig(2, OutlierDetection::new());
    rig.engines.at("e0", (0..5).map(|_| fails()));
    ask_until(&rig, "e0", 4).await;
    assert_eq!(rig.endpoint("e0").ejections(), 0);
    ask_until(&rig, "e0", 5).await;
    assert_eq!(rig.endpoint("e0").ejections(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_models_own_answers_are_no_failures() {
    for code in [400, 401, 403, 404, 408, 422, 499, 501] {
        let rig = rig(2, detection());
        rig.engines.at("e0", (0..10).map(|_| status(code)));
        ask_until(&rig, "e0", 10).await;
        assert_eq!(rig.endpoint("e0").failures(), 0, "{code}");
        assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Healthy);
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_out_for_ten_seconds_and_twice_as_long_after_each_trial_that_fails_up_to_a_cap() {
    let max = Duration::from_secs(60);
    let rig = ejected(detection().max_ejection_time(max)).await;
    rig.engines.always("e0", times_out);
    for (n, seconds) in [10, 20, 40, 60, 60].into_iter().enumerate() {
        assert_eq!(rig.endpoint("e0").ejections(), n as u64 + 1);
        tokio::time::sleep(Duration::from_secs(seconds) - MILLISECOND).await;
        assert_eq!(hosts(&rig).await, HashSet::from(["e1".to_owned()]), "{n}");
        tokio::time::sleep(MILLISECOND).await;
        assert_eq!(rig.endpoint("e0").health(), EndpointHealth::HalfOpen);
        // One trial, and no more.
        let before = rig.endpoint("e0").requests();
        hosts(&rig).await;
        assert_eq!(rig.endpoint("e0").requests(), before + 1);
        assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Ejected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_succeeds_brings_it_back_with_a_clean_record() {
    let rig = ejected(detection()).await;
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(hosts(&rig).await.len(), 2);
    let snapshot = rig.endpoint("e0");
    assert_eq!(snapshot.health(), EndpointHealth::Healthy);
    assert_eq!(
        (snapshot.consecutive_failures(), snapshot.ejected_until()),
        (0, None)
    );
    // The next ejection is a first one.
    fail(&rig, "e0").await;
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(hosts(&rig).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_models_own_answer_to_a_trial_is_a_success() {
    let rig = ejected(detection()).await;
    tokio::time::sleep(10 * SECOND).await;
    rig.engines.at("e0", [status(400)]);
    hosts(&rig).await;
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Healthy);
}

#[tokio::test(start_paused = true)]
async fn half_open_lets_one_of_many_through() {
    let rig = ejected(detection()).await;
    tokio::time::sleep(10 * SECOND).await;
    rig.engines.everywhere(|| status(200).late(SECOND));
    let before = rig.endpoint("e0").requests();
    let calls: Vec<_> = (0..50).map(|_| rig.spawn()).collect();
    settle().await;
    assert_eq!(rig.endpoint("e0").in_flight(), 1);
    assert_eq!(rig.endpoint("e1").in_flight(), 49);
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::HalfOpen);
    for call in calls {
        assert_eq!(call.await.unwrap().status(), 200);
    }
    assert_eq!(rig.endpoint("e0").requests(), before + 1);
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_trial_whose_client_leaves_is_given_to_the_next() {
    let rig = ejected(detection()).await;
    tokio::time::sleep(10 * SECOND).await;
    rig.engines.at("e0", [Act::Hang]);
    let mut calls: Vec<_> = (0..10).map(|_| rig.spawn()).collect();
    settle().await;
    assert_eq!(rig.endpoint("e0").in_flight(), 1);
    // Only the one that hangs is still there.
    calls.retain(|call| !call.is_finished());
    assert_eq!(calls.len(), 1);
    for call in calls {
        call.abort();
        _ = call.await;
    }
    assert_eq!(rig.endpoint("e0").in_flight(), 0);
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::HalfOpen);
    assert_eq!(hosts(&rig).await.len(), 2);
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_a_layer_refuses_is_given_to_the_next() {
    let rig = ejected(detection()).await;
    tokio::time::sleep(10 * SECOND).await;
    rig.engines.at(
        "e0",
        [Act::Fail(tower::load_shed::error::Overloaded::new().into())],
    );
    assert_eq!(hosts(&rig).await.len(), 2);
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_breaks_off_in_the_middle_ejects_again() {
    let rig = ejected(detection()).await;
    tokio::time::sleep(10 * SECOND).await;
    let (script, body) = script();
    script.data("half").fail("reset");
    rig.engines.at("e0", [answers(200, body)]);
    hosts(&rig).await;
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Ejected);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_the_ejection_does_not_prolong_it() {
    let rig = rig(1, detection().max_ejection_percent(100));
    rig.engines
        .at("e0", (0..3).map(|_| fails().late(5 * SECOND)));
    let late: Vec<_> = (0..3).map(|_| rig.spawn()).collect();
    settle().await;
    fail(&rig, "e0").await;
    let until = rig.endpoint("e0").ejected_until();
    assert!(until.is_some());
    for call in late {
        assert_eq!(call.await.unwrap().status(), 502);
    }
    assert_eq!(rig.endpoint("e0").ejected_until(), until);
    assert_eq!(rig.endpoint("e0").ejections(), 1);
}

#[tokio::test(start_paused = true)]
async fn at_most_half_are_out() {
    for (endpoints, percent, out) in [
        (1, 50, 0),
        (2, 50, 1),
        (3, 50, 1),
        (4, 50, 2),
        (5, 50, 2),
        (4, 25, 1),
        (3, 100, 3),
        (4, 0, 0),
        (1, 100, 1),
    ] {
        let rig = rig(endpoints, detection().max_ejection_percent(percent));
        rig.engines.everywhere(fails);
        for _ in 0..100 {
            rig.ask().await;
        }
        let servers = rig.table.servers();
        let ejected = |health: &EndpointHealth| *health == EndpointHealth::Ejected;
        let healths = servers[0]
            .endpoints()
            .iter()
            .map(|endpoint| endpoint.health());
        assert_eq!(
            healths.filter(|health| ejected(health)).count(),
            out,
            "{endpoints} {percent}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn off_is_off() {
    let rig = rig(4, OutlierDetection::off().consecutive_failures(1));
    rig.engines.everywhere(fails);
    assert_eq!(hosts(&rig).await.len(), 4);
    assert!(
        rig.table.servers()[0]
            .endpoints()
            .iter()
            .all(|endpoint| endpoint.ejections() == 0)
    );
}

#[tokio::test(start_paused = true)]
async fn when_all_are_out_the_one_that_is_back_first_serves() {
    let rig = rig(2, detection().max_ejection_percent(100));
    for host in ["e1", "e0"] {
        fail(&rig, host).await;
        tokio::time::sleep(SECOND).await;
    }
    for _ in 0..5 {
        let answer = rig.ask().await;
        assert_eq!(
            (answer.status().as_u16(), answer.decision().endpoint()),
            (200, "http://e1")
        );
    }
    assert_eq!(rig.endpoint("e1").health(), EndpointHealth::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_no_failure() {
    let rig = rig(2, detection().consecutive_failures(1));
    rig.engines.everywhere(|| Act::Hang);
    for _ in 0..10 {
        let call = rig.spawn();
        settle().await;
        call.abort();
        _ = call.await;
    }
    assert!(
        rig.table.servers()[0]
            .endpoints()
            .iter()
            .all(|endpoint| endpoint.failures() == 0)
    );
    assert_eq!((rig.in_flight(), rig.engines.under_way()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn requests_answers_and_failures_are_counted() {
    let rig = rig(1, OutlierDetection::new());
    let (body, scripted) = script();
    rig.engines
        .next([fails(), status(503), status(500), answers(200, scripted)]);
    for _ in 0..3 {
        rig.ask().await;
    }
    let answer = rig.answer().await;
    let snapshot = rig.endpoint("e0");
    assert_eq!(
        (
            snapshot.requests(),
            snapshot.failures(),
            snapshot.in_flight()
        ),
        (4, 3, 1)
    );
    body.end();
    Answer::of(answer).await;
    assert_eq!(rig.endpoint("e0").in_flight(), 0);
    assert_eq!(rig.table.servers()[0].name(), "server");
}
