//! Bodies that still arrive: sent again from their first byte, or sent once.

use std::time::Duration;

use http::{Request, StatusCode};
use test_kit::{
    answer::Answer,
    body::{Script, Scripted, script},
    engines::{Act, fails, says, status},
    gateway::Rig,
    paused::settle,
    request::{REWRITTEN, chat, chat_of},
    table::{failures, one_server, retries},
};
use tower_model_route::{ModelRouteLayer, TrafficPolicy};

use crate::SECOND;

const BEGUN: &str = r#"{"model":"asked","#;

/// A request that has named its model, and the rest of it.
fn upload() -> (Script, Request<Scripted>) {
    let (upload, body) = script();
    upload.data(BEGUN);
    (upload, chat(body))
}

async fn spawn(rig: &Rig, request: Request<Scripted>) -> tokio::task::JoinHandle<Answer> {
    let gateway = rig.gateway.clone();
    let call = tokio::spawn(async move {
        let Ok(answer) = tower::ServiceExt::oneshot(gateway, request).await;
        Answer::of(answer).await
    });
    settle().await;
    call
}

#[tokio::test(start_paused = true)]
async fn it_is_sent_again_from_its_first_byte() {
    let rig = Rig::one(3, retries(2));
    // The first answers early, the second when it has read all.
    rig.engines.next([status(503).unread(), fails()]);
    let (upload, request) = upload();
    let call = spawn(&rig, request).await;
    for piece in [r#""mess"#, r#"ages":"#, "[]}"] {
        upload.data(piece);
        settle().await;
    }
    upload.end();
    assert_eq!(call.await.unwrap().text(), "ok");
    let attempts = rig.engines.attempts();
    assert_eq!(attempts.len(), 3);
    assert_eq!(attempts[1].text(), REWRITTEN);
    assert_eq!(attempts[2].text(), REWRITTEN);
    assert_eq!(rig.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_to_be_kept_is_sent_once() {
    let rig = Rig::with(one_server(2, retries(1)), |table| {
        ModelRouteLayer::new(table).replay_bytes(64)
    });
    let large = format!(r#"{{"model":"asked","text":"{}"}}"#, "x".repeat(64));
    rig.engines.next([says(503, "busy")]);
    let answer = Answer::of(rig.send(chat_of(large.clone())).await).await;
    assert_eq!((answer.status().as_u16(), answer.text()), (503, "busy"));
    assert_eq!(rig.engines.attempts().len(), 1);

    // And one of which that shows only while it is sent.
    rig.engines.next([says(503, "busy")]);
    let (upload, request) = upload();
    upload.data(large[BEGUN.len()..].to_owned()).end();
    let answer = Answer::of(rig.send(request).await).await;
    assert_eq!((answer.status().as_u16(), answer.text()), (503, "busy"));
    assert_eq!(rig.engines.attempts().len(), 1);

    // What fits is sent again.
    rig.engines.next([says(503, "busy")]);
    assert_eq!(rig.ask().await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_breaks_off_is_neither_tried_again_nor_counted() {
    let rig = Rig::one(3, retries(2));
    let (upload, request) = upload();
    let call = spawn(&rig, request).await;
    upload.fail("the client has gone");
    let answer = call.await.unwrap();
    assert_eq!(
        (answer.status(), &*answer.code()),
        (StatusCode::BAD_REQUEST, "invalid_body")
    );
    assert_eq!(rig.engines.attempts().len(), 1);
    assert_eq!((failures(&rig.table), rig.in_flight()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_turns_out_to_be_wrong_is_the_clients_fault() {
    let rig = Rig::one(3, retries(2));
    rig.engines.next([status(503).unread()]);
    let (upload, request) = upload();
    let call = spawn(&rig, request).await;
    upload.data(r#""model":"other"}"#).end();
    let answer = call.await.unwrap();
    assert_eq!(
        (answer.status(), &*answer.code()),
        (StatusCode::BAD_REQUEST, "ambiguous_model")
    );
    assert_eq!(rig.engines.attempts().len(), 2);
    assert_eq!(rig.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_waits_for_the_client_says_nothing_of_the_engine() {
    let policy = retries(2).timeout(SECOND);
    let rig = Rig::one(3, policy);
    let (_upload, request) = upload();
    let answer = Answer::of(rig.send(request).await).await;
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!((failures(&rig.table), rig.in_flight()), (0, 0));
    assert_eq!(rig.engines.under_way(), 0);
}

/// As with a connection that is not even made.
#[tokio::test(start_paused = true)]
async fn an_engine_that_does_not_take_the_body_is_given_up_for_another() {
    let rig = Rig::one(2, retries(1).timeout(SECOND));
    rig.engines.next([Act::Hang.unread()]);
    let (upload, request) = upload();
    let call = spawn(&rig, request).await;
    upload.data(r#""messages":[]}"#).end();
    assert_eq!(call.await.unwrap().text(), "ok");
    assert_eq!(rig.engines.attempts()[1].text(), REWRITTEN);
    assert_eq!((failures(&rig.table), rig.in_flight()), (1, 0));
}

/// Nor does it matter that the one before had waited for the client.
#[tokio::test(start_paused = true)]
async fn each_attempt_is_judged_by_itself() {
    let rig = Rig::one(3, retries(2).timeout(SECOND));
    rig.engines
        .next([status(503).at_a_glance(), Act::Hang.unread()]);
    let (upload, request) = upload();
    let call = spawn(&rig, request).await;
    upload.data(r#""messages":[]}"#).end();
    assert_eq!(call.await.unwrap().text(), "ok");
    let attempts = rig.engines.attempts();
    assert_eq!(attempts[0].text(), BEGUN.replace("asked", "real"));
    assert_eq!(attempts[2].text(), REWRITTEN);
    assert_eq!((failures(&rig.table), rig.in_flight()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_put_aside_comes_before_a_timeout_of_the_client() {
    let rig = Rig::one(2, retries(1).timeout(SECOND));
    rig.engines.next([says(503, "busy").unread()]);
    let (_upload, request) = upload();
    let answer = Answer::of(rig.send(request).await).await;
    assert_eq!((answer.status().as_u16(), answer.text()), (503, "busy"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_end_of_the_upload_is_the_answer() {
    let rig = Rig::one(2, TrafficPolicy::new().max_retries(1));
    rig.engines.next([says(413, "no").unread()]);
    let (_upload, request) = upload();
    let answer = Answer::of(rig.send(request).await).await;
    assert_eq!((answer.status().as_u16(), answer.text()), (413, "no"));
    assert_eq!(rig.engines.attempts().len(), 1);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(rig.in_flight(), 0);
}
