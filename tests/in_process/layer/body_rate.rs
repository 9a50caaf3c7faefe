//! The lowest rate at which a body may arrive, and the total time that it may take.

use std::time::Duration;

use http::StatusCode;
use proptest::prelude::*;
use test_kit::{
    answer::own,
    body::script,
    mock::{called, mock, ok, waits},
    paused,
    request::{ASKED, chat},
    table::simple,
};
use tokio::time::{Instant, advance};
use tokio_test::{assert_ready_ok, task};
use tower::{Layer, Service};
use tower_model_route::ModelRouteLayer;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn layer() -> ModelRouteLayer {
    ModelRouteLayer::new(simple())
}

/// Sends these pieces, each after its pause, and then a small request; the time after which the
/// upload was refused, and the message, or `None`.
async fn refused(
    layer: ModelRouteLayer,
    pieces: impl IntoIterator<Item = (Duration, usize)>,
) -> Option<(Duration, String)> {
    let begun = Instant::now();
    let (mock, mut handle) = mock();
    let (upload, body) = script();
    let mut call = task::spawn(layer.layer(mock).call(chat(body)));
    waits(&mut call);
    for (pause, bytes) in pieces {
        // In steps, to see when it is refused.
        let end = Instant::now() + pause;
        while Instant::now() < end {
            advance(SECOND.min(end - Instant::now())).await;
            if call.is_woken()
                && let std::task::Poll::Ready(answer) = call.poll()
            {
                let refused = own(answer.unwrap());
                assert_eq!(refused.status, StatusCode::REQUEST_TIMEOUT);
                return Some((begun.elapsed(), refused.error.message().to_owned()));
            }
        }
        upload.data(" ".repeat(bytes));
        waits(&mut call);
    }
    upload.data(ASKED).end();
    waits(&mut call);
    called(&mut handle).1.send_response(ok(""));
    assert_eq!(assert_ready_ok!(call.poll()).status(), StatusCode::OK);
    None
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_a_byte_now_and_then_is_refused_after_a_minute() {
    let (after, message) = refused(layer(), [(5 * SECOND, 1); 100]).await.unwrap();
    assert!((MINUTE..MINUTE + 2 * SECOND).contains(&after), "{after:?}");
    let expected =
        "the request body was not received in time: it came at less than 1024 bytes per second";
    assert_eq!(message, expected);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_keeps_the_rate_may_take_as_long_as_it_likes() {
    assert_eq!(refused(layer(), [(5 * SECOND, 5 << 10); 1000]).await, None);
}

/// It has sent enough for hours at the lowest rate.
#[tokio::test(start_paused = true)]
async fn a_client_that_was_fast_can_not_rest_on_it() {
    let fast = [(SECOND, 1 << 20); 20];
    let slow = [(5 * SECOND, 1); 100];
    let (after, _) = refused(layer(), fast.into_iter().chain(slow))
        .await
        .unwrap();
    assert!(after < 20 * SECOND + MINUTE + 6 * SECOND, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rate_of_nothing_turns_it_off() {
    let layer = layer().min_body_rate(0);
    assert_eq!(refused(layer, [(50 * SECOND, 1); 100]).await, None);
}

#[tokio::test(start_paused = true)]
async fn the_total_is_for_all_pauses_together_whatever_comes_in_between() {
    let layer = layer().total_body_timeout(10 * MINUTE);
    let (after, message) = refused(layer, [(SECOND, 1 << 10); 1000]).await.unwrap();
    assert!(
        (10 * MINUTE..10 * MINUTE + 2 * SECOND).contains(&after),
        "{after:?}"
    );
    let expected = "the request body was not received in time: it took more than 600 seconds";
    assert_eq!(message, expected);
}

/// What the limits say: the second at which such an upload is refused.
fn expected(pieces: &[(u64, u64)], pause: u64, rate: u64, total: u64) -> Option<f64> {
    let lag = pause.max(60) as f64;
    let (mut now, mut behind) = (0.0, 0.0);
    for &(wait, bytes) in pieces {
        let (wait, bytes) = (wait as f64, bytes as f64);
        let left = (pause as f64).min(total as f64 - now).min(lag - behind);
        if wait >= left {
            return Some(now + left);
        }
        now += wait;
        behind = f64::max(0.0, behind + wait - bytes / rate as f64);
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_upload_is_refused_by_the_limit_that_it_meets_first(
        pieces in proptest::collection::vec((1_u64..40, 1_u64..2000), 1..40),
        pause in 5_u64..90, total in 20_u64..400,
    ) {
        let rate = 100;
        let layer = layer()
            .body_timeout(Duration::from_secs(pause))
            .min_body_rate(rate as usize)
            .total_body_timeout(Duration::from_secs(total));
        let sent = pieces.iter().map(|&(wait, bytes)| (wait as u32 * SECOND, bytes as usize));
        let refused = paused::runtime().block_on(refused(layer, sent.collect::<Vec<_>>()));
        match (refused, expected(&pieces, pause, rate, total)) {
            (None, None) => {}
            (Some((at, _)), Some(expected)) => {
                let expected = Duration::from_secs_f64(expected);
                prop_assert!(at >= expected && at <= expected + 2 * SECOND, "{at:?} {expected:?}");
            }
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
