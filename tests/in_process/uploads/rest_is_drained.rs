//! An answer that comes before the upload has ended: its last byte waits for the rest.

use std::time::Duration;

use http::{Request, Response, StatusCode, Version, header::EXPECT};
use http_body::Body;
use proptest::prelude::*;
use test_kit::{
    answer::Answer,
    body::{Script, Scripted, read_on, script, script_of},
    mock::{called, mock, ok, waits},
    paused,
    request::chat,
    table::{one_server, simple},
};
use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_ready_ok, task};
use tower::{BoxError, Layer, Service, ServiceExt};
use tower_model_route::{ModelRouteLayer, ResponseBody, TrafficPolicy};

const SECOND: Duration = Duration::from_secs(1);
const START: &str = r#"{"model":"nobody","a":""#;

fn layer() -> ModelRouteLayer {
    ModelRouteLayer::new(simple())
}

/// The answer to a request that no engine gets.
async fn ask<B>(
    layer: ModelRouteLayer,
    request: http::Request<B>,
) -> Response<impl Body<Data = bytes::Bytes, Error = BoxError> + Unpin>
where
    B: Body<Error: Into<BoxError>> + Send + 'static,
{
    layer.layer(mock().0).oneshot(request).await.unwrap()
}

/// How long it takes until the client has the answer to an upload that is refused, and then goes
/// on as `client` sends it.
async fn until_answered<F: Future<Output = ()>>(
    layer: ModelRouteLayer,
    client: impl FnOnce(Script) -> F,
) -> Duration {
    let (upload, body) = script();
    upload.data(START);
    let answer = ask(layer, chat(body)).await;
    let length = answer.body().size_hint().exact();
    let begun = Instant::now();
    let read = async {
        let answer = Answer::of(answer).await;
        (answer, begun.elapsed())
    };
    let (answer, took) = tokio::select! {
        biased;
        answered = read => answered,
        () = async { client(upload.clone()).await; std::future::pending().await } => unreachable!(),
    };
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(answer.code(), "model_not_found");
    assert_eq!(length, Some(answer.text().len() as u64));
    assert!(upload.is_dropped());
    took
}

#[tokio::test(start_paused = true)]
async fn the_answer_ends_with_the_upload() {
    let took = until_answered(layer(), |client| async move {
        for _ in 0..4 {
            sleep(SECOND / 2).await;
            client.data("x".repeat(100_000));
        }
        sleep(SECOND / 2).await;
        client.end();
    });
    assert_eq!(took.await, 5 * SECOND / 2);
}

/// Only the last byte waits, so that a client that reads at once knows at once.
#[tokio::test(start_paused = true)]
async fn all_but_its_last_byte_is_there_at_once() {
    let (upload, body) = script();
    upload.data(START);
    let mut answer = ask(layer(), chat(body)).await.into_body();
    let length = answer.size_hint().exact().unwrap();
    let (read, end) = read_on(&mut answer);
    assert!(end.is_none());
    assert_eq!(read.len() as u64, length - 1);
    assert_eq!(answer.size_hint().exact(), Some(1));
    assert!(!answer.is_end_stream());
    upload.end();
    let (read, end) = read_on(&mut answer);
    assert_eq!(read, b"}");
    assert!(matches!(end, Some(Ok(()))));
    assert!(answer.is_end_stream());
}

/// curl ends its stream when it sees an early error, which resets it (RFC 9113 section 8.1.1).
#[tokio::test(start_paused = true)]
async fn over_http2_the_whole_answer_waits() {
    let named = r#"{"model":"asked","model":"asked","a":""#;
    for start in [START, named] {
        let (mock, mut handle) = mock();
        let (upload, body) = script();
        upload.data(&start.as_bytes()[..20]);
        let mut request = chat(body);
        *request.version_mut() = http::Version::HTTP_2;
        let mut call = task::spawn(layer().replay_bytes(10).layer(mock).call(request));
        waits(&mut call);
        // The second one is on its way to the engine already.
        let sent = (start == named).then(|| called(&mut handle));
        upload.data(&start.as_bytes()[20..]);
        if let Some((request, reply)) = sent {
            let mut body = request.into_body();
            assert!(matches!(read_on(&mut body).1, Some(Err(_))));
            drop(body);
            reply.send_error("aborted");
        }
        waits(&mut call);
        upload.data("x");
        waits(&mut call);
        upload.end();
        let answer = assert_ready_ok!(call.poll());
        assert!(answer.status().is_client_error());
        assert!(matches!(read_on(&mut answer.into_body()).1, Some(Ok(()))));
    }
}

#[tokio::test(start_paused = true)]
async fn it_takes_no_longer_than_it_may() {
    let endless = |client: Script| async move {
        loop {
            sleep(SECOND / 2).await;
            client.data("x");
        }
    };
    for (layer, expected) in [
        (layer(), 5 * SECOND),
        (layer().drain_timeout(20 * SECOND), 20 * SECOND),
        (layer().drain_timeout(Duration::ZERO), Duration::ZERO),
    ] {
        let took = until_answered(layer, endless).await;
        assert!(
            took.abs_diff(expected) <= Duration::from_millis(1),
            "{took:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn it_reads_no_more_than_it_may() {
    let mib = bytes::Bytes::from("x".repeat(1 << 20));
    for (layer, expected) in [
        (layer(), 64),
        (layer().drain_bytes(3 << 20), 3),
        (layer().drain_bytes(0), -1),
    ] {
        let mib = mib.clone();
        let took = until_answered(layer, |client| async move {
            loop {
                sleep(SECOND / 100).await;
                client.data(mib.clone());
            }
        });
        let took = took.await.as_millis() / 10;
        // The chunk that is one too many.
        assert_eq!(took as i32, expected + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_stopped_is_not_waited_for() {
    let took = until_answered(layer(), |client| async move {
        sleep(SECOND / 2).await;
        client.data("x");
    });
    assert!(took.await.abs_diff(3 * SECOND / 2) <= Duration::from_millis(1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_fails_is_not_waited_for() {
    let took = until_answered(layer(), |client| async move {
        client.fail("reset");
    });
    assert_eq!(took.await, Duration::ZERO);
}

/// hyper sends `100 Continue` when the body is polled first.
#[tokio::test(start_paused = true)]
async fn a_client_that_waits_to_be_told_is_not_told() {
    for (expects, polled) in [(true, 0), (false, 1)] {
        let (upload, body) = script();
        upload.end();
        let mut request = chat(body);
        let headers = request.headers_mut();
        headers.insert("content-length", u64::MAX.into());
        if expects {
            headers.insert(EXPECT, "100-continue".parse().unwrap());
        }
        let answer = Answer::of(ask(layer(), request).await).await;
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(upload.polls(), polled);
    }
}

/// What an upload is that need not be read to be routed: it has a name in its path, and no JSON.
fn named_in_path(model: &str, body: Scripted, expected: Option<&str>) -> Request<Scripted> {
    let mut request = Request::post(format!("/v2/models/{model}/infer"))
        .header("content-type", "application/octet-stream");
    if let Some(expected) = expected {
        request = request.header(EXPECT, expected);
    }
    request.body(body).unwrap()
}

const CONTINUE: Option<&str> = Some("100-continue");

#[tokio::test(start_paused = true)]
async fn nor_is_it_told_once_the_model_is_known() {
    for (version, expected, is_read) in [
        (Version::HTTP_11, CONTINUE, false),
        (Version::HTTP_11, Some("100-Continue"), false),
        (Version::HTTP_2, CONTINUE, false),
        (Version::HTTP_11, None, true),
        (Version::HTTP_2, None, true),
        // Neither waits to be told (RFC 9110 section 10.1.1).
        (Version::HTTP_10, CONTINUE, true),
        (Version::HTTP_11, Some("other"), true),
    ] {
        let (upload, body) = script_of(Some(50_000_000));
        let mut request = named_in_path("absent", body, expected);
        *request.version_mut() = version;
        let begun = Instant::now();
        let answer = Answer::of(ask(layer(), request).await).await;
        assert_eq!(answer.code(), "model_not_found");
        assert_eq!(
            begun.elapsed() >= SECOND,
            is_read,
            "{version:?} {expected:?}"
        );
        assert_eq!(upload.polls() > 0, is_read, "{version:?} {expected:?}");
        // Its server can't know whether the body still comes.
        let closes = !is_read && version == Version::HTTP_11;
        assert_eq!(answer.header("connection"), closes.then_some("close"));
    }
}

#[tokio::test(start_paused = true)]
async fn nor_once_an_engine_has_it_and_does_not_read() {
    for (expected, waits_for_it) in [(CONTINUE, false), (None, true)] {
        let (mock, mut handle) = mock();
        let policy = TrafficPolicy::new().total_timeout(SECOND);
        let mut service = ModelRouteLayer::new(one_server(1, policy)).layer(mock);
        let (upload, body) = script_of(Some(50_000_000));
        let mut call = task::spawn(service.call(named_in_path("asked", body, expected)));
        waits(&mut call);
        let _unread = called(&mut handle);
        advance(2 * SECOND).await;
        let answer = assert_ready_ok!(call.poll());
        assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
        let begun = Instant::now();
        let answer = Answer::of(answer).await;
        assert_eq!(answer.code(), "upstream_timeout");
        assert_eq!(answer.header("connection").is_none(), waits_for_it);
        assert_eq!(begun.elapsed() >= SECOND, waits_for_it);
        assert_eq!(upload.polls() > 0, waits_for_it);
    }
}

/// An engine's own answer may come as early.
#[tokio::test(start_paused = true)]
async fn nor_once_an_engine_has_answered_without_it() {
    let (mock, mut handle) = mock();
    let mut service = ModelRouteLayer::new(simple()).layer(mock);
    let (upload, body) = script_of(Some(50_000_000));
    let mut call = task::spawn(service.call(named_in_path("asked", body, CONTINUE)));
    waits(&mut call);
    let (_unread, reply) = called(&mut handle);
    reply.send_response(ok("no"));
    let answer = Answer::of(assert_ready_ok!(call.poll())).await;
    assert_eq!((answer.text(), upload.polls()), ("no", 0));
    assert_eq!(answer.header("connection"), Some("close"));
}

/// It has been told, so it sends.
#[tokio::test(start_paused = true)]
async fn one_that_was_told_is_waited_for() {
    let (upload, body) = script();
    upload.data(START);
    let mut request = chat(body);
    let expect = "100-continue".parse().unwrap();
    request.headers_mut().insert(EXPECT, expect);
    let mut answer = ask(layer(), request).await.into_body();
    assert!(read_on(&mut answer).1.is_none());
    upload.end();
    assert!(matches!(read_on(&mut answer).1, Some(Ok(()))));
}

/// One that is too slow is answered because it does not send.
#[tokio::test(start_paused = true)]
async fn what_came_too_late_is_not_waited_for() {
    let (upload, body) = script();
    let answer = ask(layer(), chat(body)).await;
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
    assert!(upload.is_dropped());
    let begun = Instant::now();
    Answer::of(answer).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

/// The engine's answer is complete, and whoever read the upload for it is gone.
#[tokio::test(start_paused = true)]
async fn an_engines_answer_waits_too() {
    for is_empty in [false, true] {
        let (mut service, mut handle) = {
            let (mock, handle) = mock();
            (layer().replay_bytes(10).layer(mock), handle)
        };
        let (upload, body) = script();
        upload.data(r#"{"model":"asked","a":""#);
        let mut call = task::spawn(service.call(chat(body)));
        waits(&mut call);
        let (request, reply) = called(&mut handle);
        let (engine, answer) = script();
        if !is_empty {
            engine.data("no");
        }
        engine.end_known();
        let mut answer = Response::new(answer);
        let length = if is_empty { 0 } else { 2 };
        answer.headers_mut().insert("content-length", length.into());
        reply.send_response(answer);
        let answer = assert_ready_ok!(call.poll());
        let announced = answer.headers().get("content-length");
        assert_eq!(
            announced.is_none(),
            is_empty,
            "a body of no bytes would not be polled"
        );
        let mut body: ResponseBody<_> = answer.into_body();
        let (before, end) = read_on(&mut body);
        assert!(end.is_none());
        // As long as the engine reads, the upload is the engine's.
        upload.data("x");
        let polls = upload.polls();
        assert!(read_on(&mut body).1.is_none());
        assert_eq!(upload.polls(), polls);
        drop(request);
        assert!(read_on(&mut body).1.is_none());
        upload.end();
        let (after, end) = read_on(&mut body);
        assert!(matches!(end, Some(Ok(()))));
        let expected = if is_empty { "" } else { "no" };
        assert_eq!([before, after].concat(), expected.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_rest_is_read_until_its_end_or_a_limit(
        pieces in proptest::collection::vec((1_u64..500, 0_usize..100), 0..20),
        bytes in 1_usize..500,
        tenths in 1_u64..80,
    ) {
        let mut now = 0;
        let mut quiet = 0;
        let (mut read, mut expected) = (0, None);
        // No two things happen at once: pieces come at odd milliseconds and the total is even,
        // and the 1,000 ms of quiet are no multiple of 6.
        let ends = tenths * 100;
        let pieces: Vec<_> = pieces.into_iter().map(|(wait, size)| (wait * 6, size)).collect();
        for (at, &(wait, size)) in pieces.iter().enumerate() {
            let come = now + wait + u64::from(at == 0);
            let over = ends.min(quiet + 1000);
            if come > over {
                expected = Some(over);
                break;
            }
            now = come;
            if size > 0 {
                quiet = now;
            }
            read += size;
            if read > bytes {
                expected = Some(now);
                break;
            }
        }
        let expected = expected.unwrap_or_else(|| ends.min(quiet + 1000));
        let layer = layer()
            .drain_bytes(bytes)
            .drain_timeout(Duration::from_millis(ends));
        let took = paused::runtime().block_on(until_answered(layer, |client| async move {
            sleep(Duration::from_millis(1)).await;
            for (wait, size) in pieces {
                sleep(Duration::from_millis(wait)).await;
                client.data("x".repeat(size));
            }
        }));
        let took = took.as_millis() as u64;
        prop_assert!(took.abs_diff(expected) <= 2, "{took} {expected}");
    }
}
