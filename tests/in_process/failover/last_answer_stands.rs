//! Which answer the client gets in the end.

use http::StatusCode;
use test_kit::{
    answer::Answer,
    body::{script, text},
    engines::{Act, Engines, answers, fails, says, status, times_out},
    gateway::{Gateway, Rig},
    mock::{called, mock, ok, waits},
    paused::settle,
    request::asked,
    table::{in_flight, one_server, retries},
};
use tokio::time::sleep;
use tokio_test::{assert_ready_ok, task};
use tower::{Service, ServiceExt, limit::ConcurrencyLimitLayer};
use tower_model_route::{ModelRouteLayer, RouteError, TrafficPolicy, stack};

use crate::SECOND;

async fn last_of<const N: usize>(acts: [Act; N]) -> (Answer, Rig) {
    let rig = Rig::one(N, retries(N as u32 - 1));
    rig.engines.next(acts);
    let answer = rig.ask().await;
    assert_eq!(rig.engines.attempts().len(), N);
    assert_eq!(answer.decision().attempts(), N as u32);
    assert_eq!(rig.in_flight(), 0);
    (answer, rig)
}

#[tokio::test(start_paused = true)]
async fn an_answer_stands_though_later_attempts_bring_none() {
    let busy = || {
        says(503, "busy, really")
            .header("x-engine", "7")
            .header("retry-after", "33")
    };
    for acts in [
        [busy(), fails(), fails()],
        [busy(), times_out(), fails()],
        [fails(), busy(), times_out()],
        [status(502), busy(), fails()],
        [fails(), times_out(), busy()],
    ] {
        let (answer, _) = last_of(acts).await;
        assert_eq!(
            (answer.status().as_u16(), answer.text()),
            (503, "busy, really")
        );
        assert_eq!(answer.header("x-engine"), Some("7"));
        assert_eq!(answer.header("retry-after"), Some("33"));
        assert!(answer.head.extensions.get::<RouteError>().is_none());
    }
}

/// Its coding was not asked for (RFC 9112 section 7.4), so nobody can read it.
#[tokio::test(start_paused = true)]
async fn an_answer_in_another_transfer_coding_is_a_failed_attempt() {
    let coded = |status| says(status, "coded").header("transfer-encoding", "gzip, chunked");
    for acts in [
        [coded(200), says(200, "plain")],
        [says(503, "plain"), coded(200)],
        [coded(503), says(404, "plain")],
    ] {
        let (answer, _) = last_of(acts).await;
        assert_eq!(answer.text(), "plain");
    }
    let (answer, rig) = last_of([coded(200)]).await;
    assert_eq!(
        (answer.status().as_u16(), &*answer.code()),
        (502, "upstream_unreachable")
    );
    assert_eq!(rig.endpoint("e0").failures(), 1);
    let rig = Rig::one(2, retries(1));
    rig.engines.next([coded(200), says(200, "plain")]);
    rig.ask().await;
    let failures = ["e0", "e1"].map(|host| rig.endpoint(host).failures());
    assert_eq!(failures.iter().sum::<u64>(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_is_the_one() {
    let (answer, _) = last_of([says(503, "1"), says(429, "2")]).await;
    assert_eq!((answer.status().as_u16(), answer.text()), (429, "2"));
    // Also one that is not to be tried again.
    let (answer, _) = last_of([says(503, "1"), says(404, "2")]).await;
    assert_eq!((answer.status().as_u16(), answer.text()), (404, "2"));
}

#[tokio::test(start_paused = true)]
async fn the_decision_is_that_of_the_answer_that_stands() {
    let rig = Rig::one(2, retries(1));
    rig.engines.next([says(503, "busy"), fails()]);
    let answer = rig.ask().await;
    let attempts = rig.engines.attempts();
    assert_eq!(
        answer.decision().endpoint(),
        attempts[0].decision().endpoint()
    );
    assert_eq!(answer.decision().attempts(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_fails_before_the_next_attempt_does_not_hide_it() {
    let (mock, mut handle) = mock();
    let table = one_server(2, retries(1));
    let mut service = stack(ModelRouteLayer::new(table.clone())).service(mock);
    let mut call = task::spawn(service.call(asked()));
    waits(&mut call);
    let (_, reply) = called(&mut handle);
    handle.send_error("the pool is closed");
    let mut busy = ok("busy");
    *busy.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    reply.send_response(busy);
    let answer = assert_ready_ok!(call.poll());
    assert_eq!(answer.status(), 503);
    assert!(answer.extensions().get::<RouteError>().is_none());
    assert_eq!(text(answer.into_body()), "busy");
    assert_eq!(in_flight(&table), 0);
}

#[tokio::test(start_paused = true)]
async fn without_any_answer_it_is_ours() {
    let (answer, _) = last_of([fails(), fails(), fails()]).await;
    assert_eq!(
        (answer.status(), &*answer.code()),
        (StatusCode::BAD_GATEWAY, "upstream_unreachable")
    );
    let (answer, _) = last_of([times_out(), times_out()]).await;
    assert_eq!(
        (answer.status(), &*answer.code()),
        (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout")
    );
    let (answer, _) = last_of([times_out(), fails()]).await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    let (answer, _) = last_of([fails(), times_out()]).await;
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn an_answer_put_aside_is_still_streamed() {
    let (body, scripted) = script();
    let rig = Rig::one(2, retries(1));
    rig.engines.next([answers(503, scripted), fails()]);
    let answer = rig.answer().await;
    assert_eq!(answer.status(), 503);
    body.data("later, ").data("much later").end();
    assert_eq!(Answer::of(answer).await.text(), "later, much later");
}

#[tokio::test(start_paused = true)]
async fn an_answer_put_aside_is_dropped_once_there_is_a_better_one() {
    let (first, scripted) = script();
    let (second, better) = script();
    let rig = Rig::one(2, retries(1));
    rig.engines
        .next([answers(503, scripted), answers(200, better)]);
    let answer = rig.answer().await;
    assert!(first.is_dropped(), "the connection is held for nothing");
    second.data("ok").end();
    assert_eq!(Answer::of(answer).await.text(), "ok");
}

#[tokio::test(start_paused = true)]
async fn an_answer_put_aside_must_not_stall_either() {
    let (_body, scripted) = script();
    let rig = Rig::one(2, retries(1).stream_idle_timeout(SECOND));
    rig.engines.next([answers(503, scripted), fails()]);
    let answer = rig.ask().await;
    assert_eq!(answer.status(), 503);
    assert!(answer.body.unwrap_err().contains("stopped"));
}

#[tokio::test(start_paused = true)]
async fn once_an_answer_has_begun_there_is_no_other() {
    let (body, scripted) = script();
    let rig = Rig::one(2, retries(1));
    rig.engines.next([answers(200, scripted)]);
    let answer = rig.answer().await;
    body.data("half").fail("reset");
    let answer = Answer::of(answer).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.body.unwrap_err(), "reset");
    assert_eq!(rig.engines.attempts().len(), 1);
    assert_eq!(rig.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn it_is_in_flight_until_the_body_ends() {
    let (body, scripted) = script();
    let rig = Rig::one(2, TrafficPolicy::new().max_retries(1));
    rig.engines.next([fails(), answers(200, scripted)]);
    let call = rig.spawn();
    tokio::time::sleep(SECOND).await;
    assert_eq!(rig.in_flight(), 1);
    body.data("all").end();
    settle().await;
    assert_eq!(rig.in_flight(), 0);
    assert_eq!(call.await.unwrap().text(), "all");
}

/// e0 answers while e1 is busy, or nothing below has room, and the time is over before that changes.
#[tokio::test(start_paused = true)]
async fn it_stands_though_the_time_ends_while_the_next_attempt_waits() {
    for limit_below in [false, true] {
        let policy = retries(1)
            .max_in_flight(if limit_below { 9 } else { 1 })
            .max_queue(4)
            .queue_timeout(60 * SECOND)
            .total_timeout(10 * SECOND);
        let engines = Engines::default();
        let limit = ConcurrencyLimitLayer::new(if limit_below { 1 } else { 9 });
        let table = one_server(2, policy);
        let service = stack(table.clone()).layer(limit).service(engines.service());
        let gateway = Gateway::new(service);
        let start = || {
            let call = gateway.clone().oneshot(asked());
            tokio::spawn(async { Answer::of(call.await.unwrap()).await })
        };
        engines.next([says(503, "busy").late(9 * SECOND)]);
        let first = start();
        sleep(SECOND).await;
        // Takes what the next attempt of the first needs, and keeps it.
        engines.next([says(200, "late").late(60 * SECOND)]);
        let second = start();
        let answer = first.await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.text()), (503, "busy"));
        assert_eq!(answer.decision().attempts(), 2 - u32::from(!limit_below));
        second.abort();
    }
}
