//! The time that a client says it waits.

use http::{HeaderName, Request};
use http_body_util::Full;
use test_kit::{
    answer::Answer,
    body::script,
    engines::{Act, answers, status},
    gateway::Rig,
    request::{ASKED, asked, chat},
    table::{one_server, retries},
};
use tokio::time::{Instant, sleep};
use tower_model_route::{ModelRouteLayer, TrafficPolicy};

use crate::SECOND;

const NAME: HeaderName = HeaderName::from_static("x-request-timeout");

fn rig(endpoints: usize, policy: TrafficPolicy) -> Rig {
    Rig::with(one_server(endpoints, policy), |table| {
        ModelRouteLayer::new(table).deadline_header(NAME)
    })
}

fn waits(seconds: &str) -> Request<Full<bytes::Bytes>> {
    let mut request = asked();
    request.headers_mut().insert(NAME, seconds.parse().unwrap());
    request
}

async fn ask(rig: &Rig, seconds: &str) -> (u16, f64) {
    let start = Instant::now();
    let answer = Answer::of(rig.send(waits(seconds)).await).await;
    let took = (start.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    (answer.status().as_u16(), took)
}

#[tokio::test(start_paused = true)]
async fn it_bounds_the_request_as_a_whole() {
    let rig = rig(1, TrafficPolicy::new());
    rig.engines.next([Act::Hang]);
    assert_eq!(ask(&rig, "2.5").await, (504, 2.5));
    assert_eq!(rig.endpoint("e0").failures(), 0, "nobody is to blame");
    assert_eq!(ask(&rig, "2.5").await, (200, 0.0));
    assert_eq!(
        rig.engines.attempts()[1].header("x-request-timeout"),
        Some("2.5")
    );
}

#[tokio::test(start_paused = true)]
async fn the_total_timeout_is_the_longest_that_can_be_asked_for() {
    let rig = rig(1, TrafficPolicy::new().total_timeout(4 * SECOND));
    rig.engines.next([Act::Hang, Act::Hang]);
    assert_eq!(ask(&rig, "60").await, (504, 4.0));
    assert_eq!(ask(&rig, "1").await, (504, 1.0));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_does_not_fit_is_not_begun() {
    let rig = rig(3, retries(2).timeout(3 * SECOND));
    rig.engines.everywhere(|| status(503).late(2 * SECOND));
    assert_eq!(ask(&rig, "6").await, (503, 4.0));
    assert_eq!(
        rig.engines.hosts().len(),
        2,
        "2 s are left, and 3 may be needed"
    );
    assert_eq!(ask(&rig, "0.099").await, (504, 0.0));
    assert_eq!(rig.engines.hosts().len(), 0);
    assert_eq!(rig.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tenth_of_a_second_is_enough_to_begin() {
    let rig = rig(1, TrafficPolicy::new());
    assert_eq!(ask(&rig, "0.1").await, (200, 0.0));
}

/// In the queue too, and for the answer that is held back until its first content.
#[tokio::test(start_paused = true)]
async fn it_is_over_whatever_the_request_waits_for() {
    let policy = TrafficPolicy::new()
        .max_in_flight(1)
        .max_queue(1)
        .queue_timeout(60 * SECOND)
        .first_event_gate(true);
    let rig = rig(1, policy);
    let (_never, body) = script();
    rig.engines
        .next([answers(200, body).header("content-type", "application/json")]);
    let (held, queued) = tokio::join!(ask(&rig, "5"), ask(&rig, "3"));
    assert_eq!((held, queued), ((504, 5.0), (504, 3.0)));
    assert_eq!(rig.engines.hosts().len(), 1);
    assert_eq!((rig.in_flight(), rig.endpoint("e0").failures()), (0, 0));
}

/// It counts from the head on, whatever the upload takes.
#[tokio::test(start_paused = true)]
async fn the_upload_is_part_of_it() {
    let rig = rig(1, TrafficPolicy::new());
    let (upload, body) = script();
    let mut request = chat(body);
    request.headers_mut().insert(NAME, "5".parse().unwrap());
    let feed = async {
        sleep(6 * SECOND).await;
        upload.data(ASKED).end();
    };
    let (answer, ()) = tokio::join!(rig.send(request), feed);
    assert_eq!(answer.status(), 504);
    assert_eq!(rig.engines.hosts().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_number_and_no_option_no_deadline() {
    let rig = rig(1, TrafficPolicy::new());
    rig.engines.next([status(200).late(60 * SECOND)]);
    assert_eq!(ask(&rig, "soon").await, (200, 60.0));
    let rig = Rig::one(1, TrafficPolicy::new());
    rig.engines.next([status(200).late(60 * SECOND)]);
    assert_eq!(ask(&rig, "1").await, (200, 60.0));
}
