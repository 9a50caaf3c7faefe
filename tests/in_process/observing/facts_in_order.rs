//! Each fact is told when it is known, to all who listen.

use axum::body::Body;
use http::Request;
use test_kit::{
    body::script,
    engines::{answers, fails, status, streams},
    gateway::Rig,
    request::{asked, chat_of},
    table::{one_server, retries, server, table},
};
use tokio::time::sleep;
use tower_model_route::{ModelRouteLayer, Rule, TrafficPolicy};

use super::{CHUNK, Heard, Tenant, millis};

#[tokio::test(start_paused = true)]
async fn from_the_head_to_the_end_with_a_retry_between() {
    let heard = Heard::default();
    let rig = heard.rig(one_server(3, retries(2)));
    let (feed, body) = script();
    rig.engines.next([
        fails(),
        status(503).late(millis(20)),
        streams(body).late(millis(30)),
    ]);
    let mut request = asked();
    request.extensions_mut().insert(Tenant("acme"));
    let mut answer = rig.send(request).await.into_body();
    feed.data("data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n");
    let frame = http_body_util::BodyExt::frame(&mut answer).await;
    assert!(frame.is_some());
    sleep(millis(100)).await;
    for _ in 0..3 {
        feed.data(CHUNK);
        http_body_util::BodyExt::frame(&mut answer).await;
        sleep(millis(10)).await;
    }
    feed.data("data: [DONE]\n\n").end();
    let rest = http_body_util::BodyExt::collect(answer).await.unwrap();
    assert_eq!(rest.to_bytes(), "data: [DONE]\n\n");

    let lines = heard.lines();
    let hosts: Vec<_> = lines
        .iter()
        .filter_map(|line| line.split("http://").nth(1))
        .collect();
    assert_eq!(hosts[0], hosts[1].split(' ').next().unwrap());
    let told = lines.iter().map(|line| {
        let mut line = line.clone();
        for host in ["http://e0", "http://e1", "http://e2"] {
            line = line.replace(host, "E");
        }
        line
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            "received /v1/chat/completions",
            "decided E",
            "attempt 1 at E after None",
            "not_connected no connection in 0 ms",
            "attempt 2 at E after Some(\"not_connected\")",
            "answered 503 in 20 ms",
            "attempt 3 at E after Some(\"answered\")",
            "answered 200 in 30 ms",
            "content at 150 ms",
            "ended ok",
        ]
    );
    let end = heard.end();
    assert_eq!((end.attempts, end.status), (3, Some(200)));
    assert!(end.answered && end.stream);
    assert_eq!(end.note, Some("acme"), "what `received` has noted");
    assert_eq!(end.times.receive, millis(0));
    assert_eq!(end.times.queue, millis(0));
    assert_eq!(end.times.to_head, Some(millis(50)));
    assert_eq!(end.times.to_first_content, Some(millis(150)));
    assert_eq!(end.times.total, millis(180));
    assert_eq!(
        end.times.per_output_token,
        Some(millis(15)),
        "30 ms behind it, by two"
    );
}

/// So Gemini streams without `alt=sse`.
#[tokio::test(start_paused = true)]
async fn an_array_that_grows_is_a_stream() {
    let heard = Heard::default();
    let rig = heard.rig(one_server(1, retries(0)));
    let (feed, body) = script();
    let array = answers(200, body).header("content-type", "application/json; charset=UTF-8");
    rig.engines.next([array]);
    let request = Request::post("/v1beta/models/asked:streamGenerateContent")
        .body(Body::from(r#"{"contents":[]}"#));
    let mut answer = rig.send(request.unwrap()).await.into_body();
    let element = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]}}]}"#;
    for before in ["[", ",\r\n"] {
        sleep(millis(20)).await;
        feed.data(format!("{before}{element}"));
        http_body_util::BodyExt::frame(&mut answer).await;
    }
    // The client has had enough.
    drop(answer);
    let end = heard.end();
    assert!(end.stream);
    assert_eq!(
        (end.contents, end.output),
        (2, 2),
        "an event for each element"
    );
    assert_eq!(end.times.to_first_content, Some(millis(20)));
    assert_eq!(end.times.per_output_event, Some(millis(20)));
    assert!(heard.lines().contains(&"content at 20 ms".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn the_time_in_the_queue_is_told() {
    let heard = Heard::default();
    let policy = TrafficPolicy::new()
        .max_in_flight(1)
        .max_queue(1)
        .queue_timeout(millis(1000));
    let rig = heard.rig(one_server(1, policy));
    rig.engines.next([status(200).late(millis(70))]);
    let (first, second) = tokio::join!(rig.ask(), async {
        sleep(millis(20)).await;
        rig.ask().await
    });
    assert_eq!(
        (first.status(), second.status()),
        (200.try_into().unwrap(), 200.try_into().unwrap())
    );
    let ends = heard.ends();
    assert_eq!(ends[0].times.queue, millis(0));
    assert_eq!(ends[1].times.queue, millis(50));
    assert_eq!(ends[1].times.receive, millis(0));
    assert_eq!(ends[1].times.to_head, Some(millis(50)));

    // One that waits in vain has a rule, and was sent nowhere.
    rig.engines.next([status(200).late(millis(9000))]);
    let (_, late) = tokio::join!(rig.ask(), async {
        sleep(millis(20)).await;
        rig.ask().await
    });
    assert_eq!(late.code(), "overloaded");
    let end = heard.ends().remove(0);
    assert_eq!(
        (end.status, end.code, end.attempts),
        (Some(503), Some("overloaded"), 0)
    );
    assert_eq!((end.route.as_deref(), end.server), (Some("route"), None));
    assert_eq!(end.requested.as_deref(), Some("asked"));
    assert_eq!(end.times.queue, millis(1000));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_told_with_what_is_known_of_it() {
    let heard = Heard::default();
    let rig = heard.rig(table(
        [server(0, retries(0))],
        Rule::new("rule").target("server"),
    ));
    for (request, status, code, route, requested) in [
        (
            chat_of(r#"{"model":"bogus"}"#),
            404,
            "model_not_found",
            None,
            Some("bogus"),
        ),
        (
            chat_of(r#"{"messages":[]}"#),
            400,
            "missing_model",
            None,
            None,
        ),
        (asked(), 503, "no_endpoint", Some("route"), Some("asked")),
        (
            Request::get("/etc").body(Default::default()).unwrap(),
            404,
            "unknown_path",
            None,
            None,
        ),
    ] {
        let path = request.uri().path().to_owned();
        let answer = rig.send(request).await;
        assert_eq!(answer.status(), status);
        drop(answer);
        assert_eq!(
            heard.lines(),
            [
                format!("received {path}"),
                format!("rejected {code}"),
                "ended error".to_owned()
            ]
        );
        let end = heard.end();
        assert_eq!((end.status, end.code), (Some(status), Some(code)));
        assert_eq!(
            (end.route.as_deref(), end.requested.as_deref()),
            (route, requested)
        );
        assert!(!end.answered);
    }
    // The list of models is the gateway's own, and no error.
    let list = Request::get("/v1/models")
        .body(axum::body::Body::empty())
        .unwrap();
    rig.send(list).await;
    assert_eq!(heard.lines(), ["received /v1/models", "ended ok"]);
}

#[tokio::test(start_paused = true)]
async fn several_observers_hear_the_same() {
    let (one, other) = (Heard::default(), Heard::default());
    let rig = Rig::with(one_server(1, retries(0)), |table| {
        ModelRouteLayer::new(table)
            .observer(one.clone())
            .observer(other.clone())
    });
    rig.ask().await;
    let lines = one.lines();
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert_eq!(lines, other.lines());
}
