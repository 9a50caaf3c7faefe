//! However a request ends, and whenever its client goes away, its end is told once.

use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::BodyExt;
use test_kit::{
    body::{Script, script},
    engines::{Act, fails, says, status, streams},
    gateway::Rig,
    request::{asked, chat, chat_of},
    table::{one_server, retries},
};
use tokio::time::{sleep, timeout};
use tower::{Layer, ServiceExt, service_fn};
use tower_model_route::{EndKind, ModelRouteLayer, RouteBody, TrafficPolicy, WithoutModel};

use super::{CHUNK, Heard, millis};

const DONE: &str = "data: [DONE]\n\n";

fn stream() -> (Script, Act) {
    let (feed, body) = script();
    (feed, streams(body))
}

fn rig(heard: &Heard) -> Rig {
    heard.rig(one_server(2, retries(1)))
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_is_ok_and_an_engines_error_is_an_error() {
    let heard = Heard::default();
    let rig = rig(&heard);
    for (act, kind) in [
        (says(200, "fine"), EndKind::Ok),
        (says(204, ""), EndKind::Ok),
        (says(400, "no"), EndKind::Error),
    ] {
        rig.engines.next([act]);
        rig.ask().await;
        let end = heard.end();
        assert_eq!((end.kind, end.answered), (kind, true));
        assert_eq!(end.server.as_deref(), Some("server"));
    }
    // Both attempts fail.
    rig.engines.next([fails(), fails()]);
    assert_eq!(rig.ask().await.code(), "upstream_unreachable");
    let end = heard.end();
    assert_eq!(
        (end.kind, end.answered, end.attempts),
        (EndKind::Error, false, 2)
    );
    assert_eq!(end.code, Some("upstream_unreachable"));
    // A body that nobody reads.
    rig.engines.next([status(500), status(500)]);
    drop(rig.answer().await);
    assert_eq!(heard.end().kind, EndKind::Error);
}

/// Behind comments a client can be given nothing but events: it gets an error event in place of
/// anything else.
#[tokio::test(start_paused = true)]
async fn what_is_no_stream_behind_comments_is_an_error() {
    let compressed = || streams(script().1).header("content-encoding", "gzip");
    let answers: [fn() -> Act; 4] = [
        || says(307, "").header("location", "/v1/chat/completions"),
        || says(200, "{\"choices\":[]}").header("content-type", "application/json"),
        || says(200, "").header("content-type", "application/json"),
        compressed,
    ];
    for answer in answers {
        let heard = Heard::default();
        let policy = TrafficPolicy::new().sse_keepalive(millis(100));
        let rig = heard.rig(one_server(1, policy));
        rig.engines.next([answer().late(millis(250))]);
        let request = chat_of("{\"model\":\"asked\",\"stream\":true}");
        let got = rig.send(request).await;
        assert_eq!(got.status(), 200);
        let text = got.into_body().collect().await.unwrap().to_bytes();
        let text = std::str::from_utf8(&text).unwrap();
        assert!(text.contains(r#""code":"upstream_unreachable""#), "{text}");
        let end = heard.end();
        assert_eq!((end.kind, end.status), (EndKind::Error, Some(502)));
        assert_eq!(end.code, Some("upstream_unreachable"));
        assert!(end.answered, "by the engine, which is paid for");
        let told = "rejected upstream_unreachable".to_owned();
        assert!(heard.lines().contains(&told));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_interrupted_an_error_or_left() {
    let heard = Heard::default();
    let rig = rig(&heard);
    let error = "data: {\"error\":{\"message\":\"boom\"}}\n\n";
    for (parts, fails, kind) in [
        (&[CHUNK, DONE][..], false, EndKind::Ok),
        (&[CHUNK], false, EndKind::Interrupted),
        (&[CHUNK, "data: {\"cho"], false, EndKind::Interrupted),
        (&[CHUNK], true, EndKind::Interrupted),
        (&[CHUNK, error], false, EndKind::Error),
        (&[CHUNK, error, DONE], false, EndKind::Error),
    ] {
        let (feed, act) = stream();
        rig.engines.next([act]);
        parts.iter().for_each(|part| _ = feed.data(*part));
        if fails {
            feed.fail("reset");
        } else {
            feed.end();
        }
        rig.ask().await;
        let end = heard.end();
        assert_eq!((end.kind, end.status), (kind, Some(200)), "{parts:?}");
        assert_eq!(end.contents, 1);
        assert_eq!(end.bytes, parts.concat().len() as u64);
    }
}

/// Whatever the client has read of it.
#[tokio::test(start_paused = true)]
async fn a_client_may_leave_a_stream_at_any_event() {
    let heard = Heard::default();
    let rig = rig(&heard);
    for read in 0..=4 {
        let (feed, act) = stream();
        rig.engines.next([act]);
        let mut body = rig.answer().await.into_body();
        [CHUNK, CHUNK, CHUNK, DONE]
            .iter()
            .for_each(|part| _ = feed.data(*part));
        for _ in 0..read {
            body.frame().await.unwrap().unwrap();
        }
        drop(body);
        let end = heard.end();
        // OpenAI's SDKs read to [DONE] and no further.
        let kind = if read == 4 {
            EndKind::Ok
        } else {
            EndKind::ClientGone
        };
        assert_eq!((end.kind, end.contents), (kind, read.min(3)));
        assert_eq!(end.output, read.min(3), "an estimate");
        assert!(!end.exact && feed.is_dropped());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_may_leave_before_there_is_an_answer() {
    let heard = Heard::default();
    let policy = TrafficPolicy::new()
        .max_in_flight(1)
        .max_queue(8)
        .queue_timeout(millis(100_000));
    let rig = heard.rig(one_server(1, policy));
    // While its body comes, while it waits for an engine, and while it is in the queue.
    let (_upload, body) = script();
    assert!(timeout(millis(10), rig.send(chat(body))).await.is_err());
    let end = heard.end();
    assert_eq!(
        (end.kind, end.attempts, end.route),
        (EndKind::ClientGone, 0, None)
    );
    assert_eq!(end.times.receive, millis(10));

    rig.engines.next([status(200).late(millis(1000))]);
    let first = timeout(millis(500), rig.answer());
    let second = async {
        sleep(millis(10)).await;
        assert!(timeout(millis(100), rig.answer()).await.is_err());
        heard.end()
    };
    let (first, queued) = tokio::join!(first, second);
    assert!(first.is_err());
    assert_eq!((queued.kind, queued.attempts), (EndKind::ClientGone, 0));
    assert_eq!(queued.times.queue, millis(100));
    let called = heard.end();
    assert_eq!((called.kind, called.attempts), (EndKind::ClientGone, 1));
    assert_eq!((called.status, called.answered), (None, false));
    let lines = heard.lines();
    assert!(
        lines
            .iter()
            .any(|line| line == "client the client failed in 500 ms"),
        "{lines:?}"
    );
}

/// Its future is not even polled.
#[test]
fn a_request_that_is_dropped_at_once_has_an_end() {
    let heard = Heard::default();
    let inner = service_fn(async |_: Request<RouteBody>| {
        Ok::<_, std::io::Error>(Response::new(axum::body::Body::empty()))
    });
    let mut service = ModelRouteLayer::new(one_server(1, retries(0)))
        .observer(heard.clone())
        .layer(inner);
    drop(tower::Service::call(&mut service, asked()));
    assert_eq!(heard.end().kind, EndKind::ClientGone);
}

#[test]
fn a_service_below_that_fails_is_an_error() {
    let heard = Heard::default();
    let inner = service_fn(async |_: Request<RouteBody>| {
        Err::<Response<axum::body::Body>, _>(std::io::Error::other("no"))
    });
    let layer = ModelRouteLayer::new(one_server(1, retries(0))).observer(heard.clone());
    let call = layer.layer(inner).oneshot(asked());
    call.now_or_never().unwrap().unwrap_err();
    let end = heard.end();
    assert_eq!(
        (end.kind, end.status, end.attempts),
        (EndKind::Error, None, 1)
    );
}

#[test]
fn what_is_forwarded_without_being_routed_has_an_end_too() {
    let heard = Heard::default();
    let inner = service_fn(async |_: Request<RouteBody>| {
        Ok::<_, std::io::Error>(Response::new(axum::body::Body::from("page")))
    });
    let layer = ModelRouteLayer::new(one_server(1, retries(0)))
        .without_model(WithoutModel::Forward)
        .observer(heard.clone());
    let request = Request::get("/page")
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = layer
        .layer(inner)
        .oneshot(request)
        .now_or_never()
        .unwrap()
        .unwrap();
    assert!(heard.ends().is_empty(), "its body is still there");
    let body = answer
        .into_body()
        .collect()
        .now_or_never()
        .unwrap()
        .unwrap();
    assert_eq!(body.to_bytes(), "page");
    let end = heard.end();
    assert_eq!(
        (end.kind, end.status, end.route),
        (EndKind::Ok, Some(200), None)
    );
    assert_eq!((end.bytes, end.answered), (4, true));
}

/// A client that was sent comments has seen a 200, whatever comes then.
#[tokio::test(start_paused = true)]
async fn an_answer_that_was_opened_early_has_one_end() {
    let heard = Heard::default();
    let policy = TrafficPolicy::new().sse_keepalive(millis(1000));
    let rig = heard.rig(one_server(1, policy));
    let ask = || chat(axum::body::Body::from(r#"{"model":"asked","stream":true}"#));
    let (feed, act) = stream();
    feed.data(CHUNK).data(DONE).end();
    rig.engines.next([act.late(millis(3500))]);
    test_kit::answer::Answer::of(rig.send(ask()).await).await;
    let end = heard.end();
    assert_eq!((end.kind, end.contents), (EndKind::Ok, 1));
    assert_eq!(end.times.to_head, Some(millis(3500)));

    // The engine fails after the head was sent.
    rig.engines.next([fails().late(millis(3500))]);
    test_kit::answer::Answer::of(rig.send(ask()).await).await;
    let end = heard.end();
    assert_eq!(
        (end.kind, end.code),
        (EndKind::Error, Some("upstream_unreachable"))
    );

    // The client leaves after a comment.
    rig.engines.next([status(200).late(millis(9000))]);
    let mut body = rig.send(ask()).await.into_body();
    body.frame().await.unwrap().unwrap();
    assert!(heard.ends().is_empty());
    drop(body);
    let end = heard.end();
    assert_eq!((end.kind, end.status), (EndKind::ClientGone, Some(200)));
}

/// The one that has answered with 503 has nothing to do with a client that leaves the other.
#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_leaves_the_last_attempt() {
    let heard = Heard::default();
    let rig = rig(&heard);
    rig.engines.at("e0", [status(503)]);
    rig.engines.at("e1", [status(200).late(millis(60_000))]);
    let call = timeout(millis(1000), rig.ask()).await;
    assert!(call.is_err());
    let end = heard.end();
    assert_eq!((end.kind, end.attempts), (EndKind::ClientGone, 2));
    assert_eq!(end.endpoint.as_deref(), Some("http://e1"));
}

#[tokio::test(start_paused = true)]
async fn a_service_below_that_panics_is_an_error() {
    let heard = Heard::default();
    let layer = ModelRouteLayer::new(one_server(1, TrafficPolicy::new())).observer(heard.clone());
    type Never = Result<Response<axum::body::Body>, std::io::Error>;
    let below = service_fn(async |_: Request<RouteBody>| -> Never { panic!("on purpose") });
    let call = tokio::spawn(layer.layer(below).oneshot(asked()));
    assert!(call.await.unwrap_err().is_panic());
    assert_eq!(heard.end().kind, EndKind::Error);
}
