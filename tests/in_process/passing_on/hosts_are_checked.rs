//! What can't be passed on is refused before anything is decided by it.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::Full;
use test_kit::{
    answer::Answer,
    gateway::Rig,
    paused::within,
    request::{ASKED, asked, chat_of},
    table::one_server,
};
use tower::{ServiceExt, service_fn};
use tower_model_route::{
    ModelRouteLayer, OnInterruption, RouteBody, TrafficPolicy, WithoutModel, stack,
};

#[tokio::test(start_paused = true)]
async fn one_host_at_most_and_that_of_the_target() {
    let rig = Rig::one(1, TrafficPolicy::new());
    for (uri, hosts, status) in [
        ("/v1/chat", &[][..], 200),
        ("/v1/chat", &["gateway.test"], 200),
        ("/v1/chat", &[""], 200),
        ("/v1/chat", &["a", "b"], 400),
        ("/v1/chat", &["a", "a"], 400),
        ("/v1/chat", &["a, b"], 400),
        ("/v1/chat", &["user@a"], 400),
        ("http://a.test/v1/chat", &[], 200),
        ("http://a.test/v1/chat", &["A.test:80"], 200),
        ("https://a.test:443/v1/chat", &["a.test"], 200),
        ("http://me@a.test/v1/chat", &["a.test"], 400),
        ("http://me@a.test/v1/chat", &[], 400),
        ("http://:@a.test/v1/chat", &[], 400),
        ("http://a.test/v1/chat", &["b.test"], 400),
        ("http://a.test/v1/chat", &["a.test:81"], 400),
        ("http://a.test/v1/chat", &[""], 400),
    ] {
        let mut request = Request::post(uri);
        for host in hosts {
            request = request.header("host", *host);
        }
        let request = request.body(Full::<Bytes>::from(ASKED)).unwrap();
        let answer = Answer::of(rig.send(request).await).await;
        assert_eq!(answer.status(), status, "{uri} {hosts:?}");
        if status == 400 {
            assert_eq!(answer.code(), "invalid_host");
            assert!(rig.engines.attempts().is_empty());
        } else {
            rig.engines.attempts().remove(0);
        }
    }
}

/// Of what is below the chunks nothing is undone, so it would be passed on as the body itself.
#[tokio::test(start_paused = true)]
async fn chunks_are_the_only_transfer_coding() {
    let rig = Rig::one(1, TrafficPolicy::new());
    for (codings, status) in [
        (&["chunked"][..], 200),
        (&["Chunked"], 200),
        (&[" , chunked,"], 200),
        (&["gzip, chunked"], 501),
        (&["gzip", "chunked"], 501),
        (&["identity,chunked"], 501),
        (&["x;a=\"chunked\", chunked"], 501),
        (&["chunked, chunked"], 400),
        (&["chunked", "Chunked"], 400),
        (&["chunked, gzip, chunked"], 400),
        (&["chunked, gzip"], 400),
        (&["gzip"], 400),
        (&["chunked;a=b"], 400),
        (&[""], 400),
    ] {
        let mut request = asked();
        for coding in codings {
            let value = HeaderValue::from_static(coding);
            request.headers_mut().append("transfer-encoding", value);
        }
        let answer = Answer::of(rig.send(request).await).await;
        assert_eq!(answer.status(), status, "{codings:?}");
        match status {
            200 => _ = rig.engines.attempts().remove(0),
            501 => assert_eq!(answer.code(), "unsupported_transfer_coding"),
            _ => assert_eq!(answer.code(), "invalid_body"),
        }
        assert!(rig.engines.attempts().is_empty());
    }
}

/// There is room for what the gateway adds: a map of headers that is full panics.
#[tokio::test(start_paused = true)]
async fn very_many_fields_are_refused() {
    let rig = Rig::one(1, TrafficPolicy::new());
    for (count, status) in [(19_000, 200), (20_001, 431), (24_576, 431)] {
        let mut request = asked();
        for number in 0..count {
            let name = HeaderName::try_from(format!("x-{number}")).unwrap();
            let value = HeaderValue::from_static("1");
            request.headers_mut().insert(name, value);
        }
        assert_eq!(rig.send(request).await.status(), status);
    }
    // Each line is a field, also of one name.
    for (count, status) in [(19_000, 200), (20_001, 431), (25_000, 431)] {
        let mut request = asked();
        for _ in 0..count {
            let value = HeaderValue::from_static("1");
            request.headers_mut().append("x", value);
        }
        assert_eq!(rig.send(request).await.status(), status);
    }
}

/// An engine's answer to TRACE would show the client the keys that the engine gets.
#[tokio::test(start_paused = true)]
async fn trace_and_connect_reach_no_engine() {
    for what in [
        WithoutModel::Reject,
        WithoutModel::Forward,
        WithoutModel::Model("asked".to_owned()),
    ] {
        let table = one_server(1, TrafficPolicy::new());
        let rig = Rig::with(table, |table| {
            ModelRouteLayer::new(table).without_model(what.clone())
        });
        for method in [Method::TRACE, Method::CONNECT] {
            for path in ["/v2/models/asked/infer", "/v1/models/asked:predict"] {
                let request = Request::builder().method(method.clone()).uri(path);
                let body = Full::from(r#"{"model":"asked"}"#);
                let answer = rig.send(request.body(body).unwrap()).await;
                assert_eq!(answer.status(), 404, "{method} {path} {what:?}");
            }
        }
        assert_eq!(rig.engines.attempts().len(), 0);
    }
}

const STREAM: &str = r#"{"model":"asked","stream":true}"#;

/// Nothing that an engine says can, either, whatever is done with its answer.
#[tokio::test(start_paused = true)]
async fn very_many_fields_of_an_engine_reach_the_client() {
    let policy = TrafficPolicy::new;
    let gated = || policy().first_event_gate(true);
    let words = "data: {\"choices\": [{\"delta\": {\"content\": \"a\"}}]}\n\n";
    let error = "data: {\"error\": {\"message\": \"m\", \"code\": 503}}\n\n";
    for (policy, body, status) in [
        (policy(), words, 200),
        (policy().on_interruption(OnInterruption::Event), words, 200),
        (
            policy().stream_idle_timeout(Duration::from_secs(9)),
            words,
            200,
        ),
        (gated(), words, 200),
        (gated(), error, 503),
        (gated().max_retries(1), error, 503),
    ] {
        let layer = ModelRouteLayer::new(one_server(2, policy.clone()));
        let gateway = stack(layer).service(service_fn(move |_: Request<RouteBody>| async move {
            Ok::<_, Infallible>(full(body))
        }));
        let answer = within(gateway.oneshot(chat_of(STREAM))).await.unwrap();
        assert_eq!(answer.status(), status, "{policy:?}");
        assert!(answer.headers().len() > 20_000);
        assert!(!answer.headers().contains_key("x-1"));
        let kind = if status == 200 {
            "text/event-stream"
        } else {
            "application/json"
        };
        assert_eq!(answer.headers()["content-type"], kind, "{policy:?}");
        assert!(!Answer::of(answer).await.text().is_empty());
    }
}

/// A stream with as many fields as a map takes.
fn full(body: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(body));
    let headers = answer.headers_mut();
    headers.insert(
        "content-type",
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert("connection", HeaderValue::from_static("x-1, x-absent"));
    for number in 0.. {
        let name = HeaderName::try_from(format!("x-{number}")).unwrap();
        let value = HeaderValue::from_static("1");
        if headers.try_insert(name, value).is_err() {
            break;
        }
    }
    answer
}
