//! Clones of a body that is still arriving: each sends the same bytes, or says that it can't.

use http_body::Body;
use http_body_util::BodyExt;
use test_kit::{
    body::{Script, Scripted, read_on, script_of},
    document::{Document, GROWTH},
};
use tokio_test::{assert_pending, assert_ready, task};
use tower_model_route::RouteBody;

use super::forward::{forwarded, layer};

/// What the client has sent when the request goes out, and what it sends then.
const BEGIN: &str = r#"{"model":"alias""#;
const FORWARDED: &str = r#"{"model":"org/real""#;
const REST: &str = r#","x":[1,2,3]}"#;

async fn begun(body: Scripted, replay_bytes: usize) -> RouteBody {
    let layer = layer().replay_bytes(replay_bytes);
    forwarded(layer, body).await.into_body()
}

/// A body whose beginning has been sent, of known length or not.
async fn feed(has_length: bool, replay_bytes: usize) -> (Script, RouteBody) {
    let length = BEGIN.len() + REST.len();
    let (client, body) = script_of(has_length.then_some(length as u64));
    client.send(BEGIN);
    (client, begun(body, replay_bytes).await)
}

const ENOUGH: usize = 1 << 10;

fn whole() -> Vec<u8> {
    [FORWARDED, REST].concat().into_bytes()
}

#[tokio::test]
async fn each_clone_sends_everything() {
    for has_length in [false, true] {
        let (client, mut first) = feed(has_length, ENOUGH).await;
        let mut second = first.clone();
        // One that is ahead and one that is behind, in turn.
        assert_eq!(read_on(&mut first).0, FORWARDED.as_bytes());
        client.send(&REST[..5]);
        assert_eq!(
            read_on(&mut second).0,
            [FORWARDED, &REST[..5]].concat().as_bytes()
        );
        assert_eq!(read_on(&mut first).0, &REST.as_bytes()[..5]);
        let mut third = first.clone();
        client.send(&REST[5..]);
        client.end();
        for body in [&mut first, &mut second, &mut third] {
            let (read, end) = read_on(body);
            assert_eq!(read, &REST.as_bytes()[5..]);
            assert!(matches!(end, Some(Ok(()))));
        }
    }
}

#[tokio::test]
async fn a_clone_knows_its_length() {
    let (client, mut body) = feed(true, ENOUGH).await;
    let all = whole().len() as u64;
    assert_eq!(body.size_hint().exact(), Some(all));
    let again = body.clone();
    read_on(&mut body);
    assert_eq!(body.size_hint().exact(), Some(REST.len() as u64));
    assert_eq!(body.clone().size_hint().exact(), Some(REST.len() as u64));
    assert_eq!(again.size_hint().exact(), Some(all));
    client.send(REST);
    client.end();
    assert_eq!(again.collect().await.unwrap().to_bytes(), whole());
}

#[tokio::test]
async fn a_length_that_is_not_known_is_not_made_up() {
    let (client, mut body) = feed(false, ENOUGH).await;
    assert_eq!(body.size_hint().exact(), None);
    read_on(&mut body);
    assert_eq!(body.size_hint().exact(), None);
    assert!(!body.is_end_stream());
    client.send(REST);
    client.end();
    assert_eq!(body.collect().await.unwrap().to_bytes(), REST);
}

#[tokio::test]
async fn a_body_of_known_length_that_is_too_large_is_sent_by_whoever_is_polled_first() {
    let length = BEGIN.len() + REST.len();
    for (replay_bytes, stays) in [(length, true), (length - 1, false), (0, false)] {
        let (client, mut body) = feed(true, replay_bytes).await;
        let mut again = body.clone();
        assert!(body.is_replayable() && again.is_replayable());
        read_on(&mut body);
        assert_eq!(again.is_replayable(), stays, "{replay_bytes}");
        client.send(REST);
        client.end();
        let (read, end) = read_on(&mut again);
        match stays {
            true => assert_eq!((read, end.is_some_and(|end| end.is_ok())), (whole(), true)),
            // It fails, and does not look whole with a part missing.
            false => assert!(read.is_empty() && end.is_some_and(|end| end.is_err())),
        }
    }
}

/// As when a connection is refused: nothing of the body was asked for.
#[tokio::test]
async fn of_a_body_that_is_too_large_any_clone_is_the_first() {
    let (client, body) = feed(true, 0).await;
    let again = body.clone();
    drop(body);
    assert!(again.is_replayable());
    client.send(REST);
    client.end();
    assert_eq!(again.collect().await.unwrap().to_bytes(), whole());
}

#[tokio::test]
async fn a_body_that_outgrows_what_is_kept_can_no_longer_be_sent_again() {
    let length = BEGIN.len() + REST.len();
    for (replay_bytes, fits) in [(length, true), (length - 1, false)] {
        let (client, mut body) = feed(false, replay_bytes).await;
        let mut again = body.clone();
        assert!(body.is_replayable() && again.is_replayable());
        read_on(&mut body);
        assert!(again.is_replayable());
        client.send(REST);
        read_on(&mut body);
        client.end();
        assert!(matches!(read_on(&mut body).1, Some(Ok(()))));
        assert_eq!(again.is_replayable(), fits);
        let (read, end) = read_on(&mut again);
        if fits {
            assert_eq!(read, whole());
        } else {
            // It fails, and does not look whole with a part missing.
            assert!(matches!(end, Some(Err(_))));
            assert_eq!(read, b"");
        }
    }
}

/// What had to be read for the model alone may be more than is kept.
#[tokio::test]
async fn a_body_that_is_too_large_from_the_start_says_so() {
    let document = Document::model_in_the_middle(2_000);
    let (client, body) = script_of(None);
    client.send(&document.sent()[..document.named_at()]);
    let mut body = begun(body, 1_000).await;
    assert!(!body.is_replayable());
    // It is sent all the same, once.
    assert_eq!(read_on(&mut body).0.len(), document.named_at() + GROWTH);
    client.send(&document.after);
    client.end();
    assert_eq!(body.collect().await.unwrap().to_bytes(), document.after);
}

#[tokio::test]
async fn without_a_clone_nothing_is_kept_to_send_it_again() {
    let (client, mut body) = feed(false, ENOUGH).await;
    read_on(&mut body);
    client.send(REST);
    read_on(&mut body);
    // Its clone would begin where it stands, and that can be read.
    assert!(body.clone().is_replayable());
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_wrong_with_its_clones() {
    let (client, mut body) = feed(false, ENOUGH).await;
    let mut again = body.clone();
    read_on(&mut body);
    client.send(r#","model":"other"}"#);
    assert!(matches!(read_on(&mut body).1, Some(Err(_))));
    assert!(!again.is_replayable());
    assert!(matches!(read_on(&mut again).1, Some(Err(_))));
    assert!(matches!(read_on(&mut body.clone()).1, Some(Err(_))));
}

/// Two clones are read by two tasks, and the client's body wakes only the last that has asked.
#[tokio::test]
async fn each_of_two_readers_is_woken() {
    let (client, mut first) = feed(false, ENOUGH).await;
    let mut second = first.clone();
    read_on(&mut first);
    read_on(&mut second);
    let (mut first, mut second) = (task::spawn(first.frame()), task::spawn(second.frame()));
    for _ in 0..2 {
        assert_pending!(first.poll());
        assert_pending!(second.poll());
    }
    assert_pending!(first.poll());
    client.send(REST);
    // Whoever is woken reads, and that wakes the other one.
    let (mut first_read, mut second_read) = (false, false);
    for _ in 0..3 {
        first_read = first_read || first.is_woken() && first.poll().is_ready();
        second_read = second_read || second.is_woken() && second.poll().is_ready();
    }
    assert!(first_read, "the first was forgotten");
    assert!(second_read, "the second was forgotten");
}

/// As where the first attempt's connection is closed while the second waits for the client.
#[tokio::test]
async fn a_reader_that_is_dropped_takes_no_others_wake_up_along() {
    let (client, mut first) = feed(false, ENOUGH).await;
    let mut second = first.clone();
    read_on(&mut first);
    read_on(&mut second);
    let mut second = task::spawn(second.frame());
    assert_pending!(second.poll());
    assert_pending!(second.poll());
    let mut reading = task::spawn(first.frame());
    assert_pending!(reading.poll());
    assert_pending!(reading.poll());
    // What it was woken for so far, it has done.
    while second.is_woken() {
        assert_pending!(second.poll());
        assert_pending!(reading.poll());
    }
    drop(reading);
    drop(first);
    client.send(REST);
    assert!(second.is_woken(), "the one that is left was forgotten");
    assert_ready!(second.poll());
}
