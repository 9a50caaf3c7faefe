//! The time limit on receiving a body.

use std::time::Duration;

use http::StatusCode;
use test_kit::{
    answer::own,
    body::script,
    mock::{assert_not_called, called, mock, ok, waits},
    request::{ASKED, chat, chat_of},
    table::simple,
};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service};
use tower_model_route::{ModelRouteLayer, RouteErrorKind};

const LIMIT: Duration = Duration::from_secs(10);
/// What tokio's timers round up to: they fire within one of these after their time.
const MILLI: Duration = Duration::from_millis(1);

fn layer() -> ModelRouteLayer {
    ModelRouteLayer::new(simple()).body_timeout(LIMIT)
}

#[tokio::test(start_paused = true)]
async fn it_ends_an_upload_at_the_limit_and_not_before() {
    let (mock, mut handle) = mock();
    let (upload, body) = script();
    let mut call = task::spawn(layer().layer(mock).call(chat(body)));
    waits(&mut call);
    advance(LIMIT - MILLI).await;
    waits(&mut call);
    advance(2 * MILLI).await;
    assert!(call.is_woken());
    let refused = own(assert_ready_ok!(call.poll()));
    assert_eq!(refused.status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(refused.code, "request_timeout");
    assert_eq!(refused.error.kind(), RouteErrorKind::BodyTimeout);
    assert!(upload.is_dropped());
    assert_not_called(&mut handle);
}

#[tokio::test(start_paused = true)]
async fn it_lets_a_body_through_that_makes_it_in_time() {
    // Where both are there at once, the body counts.
    for last_moment in [LIMIT - MILLI, LIMIT, LIMIT + MILLI] {
        let (mock, mut handle) = mock();
        let (upload, body) = script();
        let mut call = task::spawn(layer().layer(mock).call(chat(body)));
        waits(&mut call);
        advance(last_moment).await;
        upload.data(ASKED).end();
        waits(&mut call);
        called(&mut handle).1.send_response(ok(""));
        assert_eq!(assert_ready_ok!(call.poll()).status(), StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_each_pause_that_counts_not_the_whole_time() {
    let (mock, mut handle) = mock();
    let (upload, body) = script();
    let mut call = task::spawn(layer().layer(mock).call(chat(body)));
    waits(&mut call);
    for _ in 0..50 {
        advance(LIMIT - MILLI).await;
        upload.data(" ".repeat(10 << 10));
        waits(&mut call);
    }
    upload.data(ASKED).end();
    waits(&mut call);
    called(&mut handle).1.send_response(ok(""));
    assert_eq!(assert_ready_ok!(call.poll()).status(), StatusCode::OK);
}

/// Frames without data, which HTTP/2 has, don't prolong a pause.
#[tokio::test(start_paused = true)]
async fn nothing_sent_is_no_end_of_a_pause() {
    let (mock, _handle) = mock();
    let (upload, body) = script();
    let mut call = task::spawn(layer().layer(mock).call(chat(body)));
    waits(&mut call);
    for _ in 0..2 {
        advance(LIMIT / 3).await;
        upload.data("");
        waits(&mut call);
    }
    advance(LIMIT / 3 + 2 * MILLI).await;
    assert_eq!(own(assert_ready_ok!(call.poll())).code, "request_timeout");
}

#[tokio::test(start_paused = true)]
async fn it_does_not_count_what_comes_after_the_body() {
    let (mock, mut handle) = mock();
    handle.allow(0);
    let (upload, body) = script();
    let mut call = task::spawn(layer().layer(mock).call(chat(body)));
    waits(&mut call);
    upload.data(ASKED).end();
    waits(&mut call);
    advance(2 * LIMIT).await;
    waits(&mut call);
    handle.allow(1);
    waits(&mut call);
    advance(2 * LIMIT).await;
    waits(&mut call);
    called(&mut handle).1.send_response(ok(""));
    assert_eq!(assert_ready_ok!(call.poll()).status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn the_longest_duration_turns_it_off() {
    let (mock, mut handle) = mock();
    let (upload, body) = script();
    let mut service = layer().body_timeout(Duration::MAX).layer(mock);
    let mut call = task::spawn(service.call(chat(body)));
    waits(&mut call);
    advance(Duration::from_secs(365 * 24 * 3600)).await;
    assert!(!call.is_woken());
    upload.data(ASKED).end();
    waits(&mut call);
    called(&mut handle).1.send_response(ok(""));
    assert_eq!(assert_ready_ok!(call.poll()).status(), StatusCode::OK);
}

/// A timer costs more than all the rest of receiving a small body, and it takes a runtime:
/// none is set where it is turned off, nor for a body that is there at the first or, as
/// hyper's are, at the second look.
#[test]
fn without_a_wait_it_needs_no_runtime() {
    let (mock, mut handle) = mock();
    let mut service = layer().layer(mock.clone());
    let mut at_once = task::spawn(service.call(chat_of(ASKED)));
    waits(&mut at_once);
    called(&mut handle);

    let (upload, body) = script();
    let mut at_the_second_look = task::spawn(service.call(chat(body)));
    assert_pending!(at_the_second_look.poll());
    assert!(at_the_second_look.is_woken());
    upload.data(ASKED).end();
    waits(&mut at_the_second_look);
    called(&mut handle);

    let (upload, body) = script();
    let mut unlimited = layer().body_timeout(Duration::MAX).layer(mock);
    let mut call = task::spawn(unlimited.call(chat(body)));
    waits(&mut call);
    upload.data(ASKED).end();
    waits(&mut call);
    called(&mut handle);
}

#[tokio::test(start_paused = true)]
async fn by_default_it_is_a_minute() {
    let (mock, _handle) = mock();
    let (_upload, body) = script();
    let mut call = task::spawn(ModelRouteLayer::new(simple()).layer(mock).call(chat(body)));
    waits(&mut call);
    advance(Duration::from_secs(60) - MILLI).await;
    waits(&mut call);
    advance(2 * MILLI).await;
    assert_eq!(own(assert_ready_ok!(call.poll())).code, "request_timeout");
}
