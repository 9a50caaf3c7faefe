//! What the client sees of a stream that did not come to its end.

use axum::body::Body;
use http::{HeaderMap, HeaderName, Request};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde_json::Value;
use test_kit::{
    body::script,
    engines::{answers, says},
    gateway::Rig,
};
use tower_model_route::{OnInterruption, TrafficPolicy};

use super::{ALL, CHAT, Dialect, GEMINI, MESSAGES, OLLAMA, RESPONSES, SECOND, read};

fn on(what: OnInterruption) -> TrafficPolicy {
    TrafficPolicy::new()
        .on_interruption(what)
        .stream_idle_timeout(10 * SECOND)
}

/// The error event at the end of a body that otherwise is `sent`.
#[track_caller]
fn farewell(dialect: &Dialect, body: &str, sent: &str) -> Value {
    let event = body.strip_prefix(sent).expect("what was sent").trim_start();
    let before = body.strip_suffix(event).unwrap();
    match dialect.path {
        // Its clients take an empty line for broken JSON.
        "/api/chat" => assert!(before.is_empty() || before.ends_with('\n')),
        _ => assert!(before.is_empty() || before.ends_with("\n\n"), "{body}"),
    }
    assert!(dialect.path != "/api/chat" || !body.contains("\n\n"));
    let (name, data) = match event.split_once('\n').unwrap() {
        (name, data) if name.starts_with("event: ") => (name, data),
        _ => ("", event),
    };
    let expected = match dialect.path {
        "/v1/messages" | "/v1/responses" => "event: error",
        _ => "",
    };
    assert_eq!(name, expected);
    let data = data.strip_prefix("data: ").unwrap_or(data);
    assert_eq!(data.trim_end().lines().count(), 1, "one event: {event}");
    serde_json::from_str(data).unwrap()
}

/// Ways to break off after a content event.
#[derive(Clone, Copy, Debug)]
enum Way {
    Lost,
    Ends,
    /// So many bytes before an event's end.
    EndsWithin(usize),
    /// The same, and the connection is lost.
    LostWithin(usize),
    Silent,
}

async fn broken(
    dialect: &Dialect,
    way: Way,
    policy: TrafficPolicy,
) -> (Rig, Result<String, String>, String) {
    let rig = Rig::one(1, policy);
    let (script, act) = dialect.stream();
    rig.engines.next([act]);
    let mut sent = [dialect.start, dialect.content].concat();
    script.data(sent.clone());
    let _silent = match way {
        Way::Lost => {
            script.fail("reset");
            None
        }
        Way::Ends => {
            script.end();
            None
        }
        Way::EndsWithin(missing) | Way::LostWithin(missing) => {
            let half = &dialect.content[..dialect.content.len() - missing];
            script.data(half.to_owned());
            match way {
                Way::EndsWithin(_) => script.end(),
                _ => script.fail("reset"),
            };
            sent += half;
            None
        }
        Way::Silent => Some(script),
    };
    let (_, body) = dialect.ask(&rig).await;
    (rig, body, sent)
}

const WAYS: [Way; 9] = [
    Way::Lost,
    Way::Ends,
    Way::EndsWithin(4),
    Way::EndsWithin(2),
    Way::EndsWithin(1),
    Way::LostWithin(4),
    Way::LostWithin(2),
    Way::LostWithin(1),
    Way::Silent,
];

#[tokio::test(start_paused = true)]
async fn an_error_event_in_the_clients_dialect_and_no_terminator() {
    for dialect in ALL {
        for way in WAYS {
            let (rig, body, sent) = broken(dialect, way, on(OnInterruption::Event)).await;
            let body = body.expect("a clean end");
            let error = farewell(dialect, &body, &sent);
            let said = match dialect.path {
                path if path == CHAT.path => &error["error"]["code"],
                path if path == RESPONSES.path => &error["code"],
                path if path == MESSAGES.path => &error["type"],
                path if path == GEMINI.path => &error["error"]["status"],
                _ => &error["error"],
            };
            match dialect.path {
                path if path == CHAT.path || path == RESPONSES.path => {
                    assert_eq!(said, "stream_interrupted");
                }
                path if path == MESSAGES.path => assert_eq!(said, "error"),
                _ => assert!(said.is_string(), "{error}"),
            }
            assert!(!body.contains(dialect.terminal));
            assert_eq!(rig.endpoint("e0").failures(), 1, "{} {way:?}", dialect.path);
            assert_eq!(rig.in_flight(), 0);
        }
    }
}

/// A client that gets as many bytes as were announced has a whole answer.
#[tokio::test(start_paused = true)]
async fn a_length_that_was_announced_does_not_hide_it() {
    for dialect in ALL {
        for sent in ["", dialect.content] {
            for (what, is_event) in [
                (OnInterruption::Event, true),
                (OnInterruption::Abort, false),
            ] {
                let rig = Rig::one(1, on(what));
                let act = says(200, sent)
                    .header("content-type", dialect.content_type())
                    .header("content-length", &sent.len().to_string());
                rig.engines.next([act]);
                let answer = rig.send(dialect.request()).await;
                assert!(!answer.headers().contains_key("content-length"));
                assert_ne!(answer.body().size_hint().exact(), Some(sent.len() as u64));
                match read(answer).await.1 {
                    Ok(body) => _ = farewell(dialect, &body, sent),
                    Err(_) => assert!(!is_event),
                }
                assert_eq!(
                    rig.endpoint("e0").failures(),
                    1,
                    "{} {what:?}",
                    dialect.path
                );
                assert_eq!(rig.in_flight(), 0);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn or_a_message_that_is_broken_off() {
    for way in WAYS {
        let (rig, body, _) = broken(&CHAT, way, on(OnInterruption::Abort)).await;
        assert!(body.is_err(), "{way:?}");
        assert_eq!(rig.endpoint("e0").failures(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn or_as_it_came() {
    for way in [Way::Ends, Way::EndsWithin(4), Way::EndsWithin(1)] {
        let (rig, body, sent) = broken(&CHAT, way, on(OnInterruption::Pass)).await;
        assert_eq!(body.unwrap(), sent);
        assert_eq!(rig.endpoint("e0").failures(), 1);
    }
    for way in [Way::Lost, Way::Silent] {
        let (rig, body, _) = broken(&CHAT, way, on(OnInterruption::Pass)).await;
        assert!(body.is_err());
        assert_eq!(rig.endpoint("e0").failures(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_its_end_passes_as_it_came() {
    for dialect in ALL {
        for parts in [
            &[dialect.start, dialect.content, dialect.terminal][..],
            &[
                dialect.ping,
                dialect.content,
                dialect.ping,
                dialect.terminal,
            ],
        ] {
            let rig = Rig::one(1, TrafficPolicy::new());
            rig.engines.next([dialect.says(parts)]);
            assert_eq!(dialect.ask(&rig).await.1.unwrap(), parts.concat());
            assert_eq!(rig.endpoint("e0").failures(), 0, "{}", dialect.path);
        }
    }
}

const FINISH: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

/// Some engines send a finish reason and no `[DONE]`, and some leave the connection open.
#[tokio::test(start_paused = true)]
async fn what_happens_behind_its_end_does_not_matter() {
    for what in [
        OnInterruption::Event,
        OnInterruption::Abort,
        OnInterruption::Pass,
    ] {
        for end in [FINISH, CHAT.terminal] {
            for way in [Way::Ends, Way::Lost, Way::Silent] {
                let rig = Rig::one(1, on(what));
                let (script, act) = CHAT.stream();
                script.data(CHAT.content).data(end);
                match way {
                    Way::Ends => _ = script.end(),
                    Way::Lost => _ = script.fail("reset"),
                    _ => {}
                }
                rig.engines.next([act]);
                assert_eq!(
                    CHAT.ask(&rig).await.1.unwrap(),
                    [CHAT.content, end].concat()
                );
                assert_eq!(rig.endpoint("e0").failures(), 0, "{what:?} {way:?}");
            }
        }
    }
}

/// With `n` above 1 the first choice may end long before the last.
#[tokio::test(start_paused = true)]
async fn the_finish_of_one_choice_is_not_that_of_all() {
    let other = "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    let rig = Rig::one(1, TrafficPolicy::new());
    let sent = [CHAT.content, FINISH, other];
    rig.engines.next([CHAT.says(&sent)]);
    let body = CHAT.ask(&rig).await.1.unwrap();
    let error = farewell(&CHAT, &body, &sent.concat());
    assert_eq!(error["error"]["code"], "stream_interrupted");
    assert_eq!(rig.endpoint("e0").failures(), 1);

    let last = FINISH.replace("\"index\":0", "\"index\":1");
    let (script, act) = CHAT.stream();
    script.data(sent.concat()).data(last.clone()).end();
    rig.engines.next([act]);
    assert_eq!(CHAT.ask(&rig).await.1.unwrap(), sent.concat() + &last);
    assert_eq!(rig.endpoint("e0").failures(), 1);
}

/// Trailers end a message, so that an error event can't follow them.
#[tokio::test(start_paused = true)]
async fn trailers_come_only_behind_a_whole_stream() {
    let trailers =
        || HeaderMap::from_iter([(HeaderName::from_static("x-sum"), "1".parse().unwrap())]);
    for (end, is_whole) in [(CHAT.terminal, true), ("", false)] {
        for what in [OnInterruption::Event, OnInterruption::Abort] {
            let rig = Rig::one(1, on(what));
            let (script, act) = CHAT.stream();
            script
                .data(CHAT.content)
                .data(end)
                .trailers(trailers())
                .end();
            rig.engines.next([act]);
            let answer = rig.send(CHAT.request()).await;
            match (answer.into_body().collect().await, what) {
                (Ok(body), _) if is_whole => assert_eq!(body.trailers(), Some(&trailers())),
                (Ok(body), OnInterruption::Event) => {
                    assert_eq!(body.trailers(), None);
                    let body = String::from_utf8(body.to_bytes().to_vec()).unwrap();
                    farewell(&CHAT, &body, CHAT.content);
                }
                (body, _) => assert!(body.is_err() && !is_whole),
            }
            assert_eq!(rig.endpoint("e0").failures(), u64::from(!is_whole));
        }
    }
}

/// An event that only its own end is missing of is not read by clients.
#[tokio::test(start_paused = true)]
async fn the_engines_own_error_is_ended_for_it() {
    let own = "data: {\"error\": {\"message\": \"no\", \"code\": 500}}";
    for way in [Way::Ends, Way::Lost] {
        let rig = Rig::one(1, TrafficPolicy::new());
        let (script, act) = CHAT.stream();
        script.data(CHAT.content).data(own);
        match way {
            Way::Ends => script.end(),
            _ => script.fail("reset"),
        };
        rig.engines.next([act]);
        let expected = [CHAT.content, own, "\n\n"].concat();
        assert_eq!(CHAT.ask(&rig).await.1.unwrap(), expected);
        assert_eq!(rig.endpoint("e0").failures(), 1);
    }
}

/// Gemini without `alt=sse` streams one array, which has no place for an error.
#[tokio::test(start_paused = true)]
async fn an_array_that_is_cut_breaks_off() {
    let element = "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"}]}}]}";
    for (rest, is_whole) in [("", false), (",", false), ("]", true)] {
        let rig = Rig::one(1, TrafficPolicy::new());
        let (json, body) = script();
        json.data(format!("[{element}{rest}")).end();
        rig.engines
            .next([answers(200, body).header("content-type", "application/json")]);
        let path = "/v1beta/models/asked:streamGenerateContent";
        let request = Request::post(path).body(Body::from("{}")).unwrap();
        assert_eq!(read(rig.send(request).await).await.1.is_ok(), is_whole);
        assert_eq!(rig.endpoint("e0").failures(), u64::from(!is_whole));
    }
}

/// A vLLM whose core has died says so in the stream, with `[DONE]` and a proper last chunk behind.
#[tokio::test(start_paused = true)]
async fn the_engines_own_error_passes_as_it_came_and_counts() {
    let own =
        "data: {\"error\": {\"message\": \"EngineCore encountered an issue.\", \"code\": 500}}\n\n";
    for what in [
        OnInterruption::Event,
        OnInterruption::Abort,
        OnInterruption::Pass,
    ] {
        for rest in [&[CHAT.terminal][..], &[]] {
            let rig = Rig::one(1, on(what));
            let parts = [&[CHAT.content, own][..], rest].concat();
            rig.engines.next([CHAT.says(&parts)]);
            assert_eq!(CHAT.ask(&rig).await.1.unwrap(), parts.concat());
            assert_eq!(rig.endpoint("e0").failures(), 1);
        }
    }
}

/// As the status of an answer does.
#[tokio::test(start_paused = true)]
async fn an_error_by_which_the_client_is_at_fault_passes_and_does_not_count() {
    let errors = [
        (
            &CHAT,
            "data: {\"error\":{\"message\":\"m\",\"type\":\"BadRequestError\",\"code\":400}}\n\n",
        ),
        (
            &CHAT,
            "data: {\"error\":{\"message\":\"m\",\"code\":422}}\n\n",
        ),
        (
            &MESSAGES,
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"m\"}}\n\n",
        ),
        (
            &RESPONSES,
            "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"invalid_prompt\",\"message\":\"m\"}}}\n\n",
        ),
    ];
    for what in [
        OnInterruption::Event,
        OnInterruption::Abort,
        OnInterruption::Pass,
    ] {
        for (dialect, own) in errors {
            for parts in [&[own][..], &[dialect.start, dialect.content, own]] {
                let rig = Rig::one(1, on(what));
                rig.engines.next([dialect.says(parts)]);
                assert_eq!(dialect.ask(&rig).await.1.unwrap(), parts.concat());
                assert_eq!(rig.endpoint("e0").failures(), 0, "{own}");
            }
        }
    }
    // What is lacking behind it is ended all the same.
    let (script, act) = CHAT.stream();
    let (_, own) = errors[0];
    script.data(own.trim_end()).fail("reset");
    let rig = Rig::one(1, TrafficPolicy::new());
    rig.engines.next([act]);
    assert_eq!(CHAT.ask(&rig).await.1.unwrap(), own);
    assert_eq!(rig.endpoint("e0").failures(), 0);
}

/// Nothing can be added to an answer whose length was announced, and one JSON value has no place
/// for an error.
#[tokio::test(start_paused = true)]
async fn where_an_event_has_no_place_the_message_breaks_off() {
    let rig = Rig::one(1, TrafficPolicy::new());
    let (json, body) = script();
    json.data("{\"choices\":[").fail("reset");
    rig.engines
        .next([answers(200, body).header("content-type", "application/json")]);
    assert!(CHAT.ask(&rig).await.1.is_err());
    let (json, body) = script();
    json.data("{\"choices\":[").end();
    rig.engines
        .next([answers(200, body).header("content-type", "application/json")]);
    assert!(CHAT.ask(&rig).await.1.is_err(), "half a JSON value");
    assert_eq!(rig.endpoint("e0").failures(), 2);
}

/// Only what is missing at its end counts: what Python writes, or no JSON at all, passes.
#[tokio::test(start_paused = true)]
async fn one_json_value_passes_whatever_it_is() {
    let rig = Rig::one(1, TrafficPolicy::new());
    for text in [
        "{\"a\":NaN}",
        "{\"a\":-Infinity}",
        "{} {}",
        "[1,2]",
        "7",
        "",
        " \n",
    ] {
        let (json, body) = script();
        json.data(text).end();
        rig.engines
            .next([answers(200, body).header("content-type", "application/json")]);
        assert_eq!(CHAT.ask(&rig).await.1.unwrap(), text);
        assert_eq!(rig.endpoint("e0").failures(), 0, "{text}");
    }
}

/// Audio, images, what an engine calls its own: a clean end is an end.
#[tokio::test(start_paused = true)]
async fn where_no_terminal_is_known_a_clean_end_is_one() {
    let rig = Rig::one(1, TrafficPolicy::new());
    for (path, content_type, text) in [
        ("/v1/audio/speech", "audio/mpeg", "ID3"),
        (
            "/v1/audio/transcriptions",
            "text/event-stream",
            "data: {\"delta\":\"Hi\"}\n\n",
        ),
        (
            "/v1/images/generations",
            "text/event-stream",
            "data: {\"b64\":\"x\"}\n\n",
        ),
    ] {
        let (script, body) = script();
        script.data(text).end();
        rig.engines
            .next([answers(200, body).header("content-type", content_type)]);
        let mut request = CHAT.request();
        *request.uri_mut() = path.parse().unwrap();
        assert_eq!(read(rig.send(request).await).await.1.unwrap(), text);
    }
    assert_eq!(rig.endpoint("e0").failures(), 0);
}

/// Only a clean end is one: a lost connection and a silence are interruptions there too.
#[tokio::test(start_paused = true)]
async fn where_no_terminal_is_known_what_breaks_off_is_not_whole() {
    for (path, content_type, text, is_told) in [
        (
            "/v1/audio/transcriptions",
            "text/event-stream",
            "data: {\"delta\":\"Hi\"}\n\n",
            true,
        ),
        (
            "/generate",
            "application/x-ndjson",
            "{\"text\":\"Hi\"}\n",
            true,
        ),
        // Its clients see no error event.
        (
            "/v2/chat",
            "text/event-stream",
            "data: {\"type\":\"content-delta\",\"delta\":{\"message\":{\"content\":{\"text\":\"Hi\"}}}}\n\n",
            false,
        ),
    ] {
        for is_lost in [true, false] {
            let rig = Rig::one(1, TrafficPolicy::new());
            let (script, body) = script();
            script.data(text);
            if is_lost {
                script.fail("reset");
            }
            rig.engines
                .next([answers(200, body).header("content-type", content_type)]);
            let mut request = CHAT.request();
            *request.uri_mut() = path.parse().unwrap();
            let read = read(rig.send(request).await).await.1;
            match read {
                Ok(body) => {
                    assert!(is_told, "{path}");
                    assert!(body.starts_with(text), "{path}: {body}");
                    assert!(body.contains("\"error\""), "{path}: {body}");
                }
                Err(_) => assert!(!is_told, "{path}"),
            }
            assert_eq!(rig.endpoint("e0").failures(), 1, "{path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_error_has_the_requests_id_in_anthropics_dialect() {
    let rig = Rig::one(1, TrafficPolicy::new());
    rig.engines.next([MESSAGES.says(&[MESSAGES.content])]);
    let mut request = MESSAGES.request();
    request
        .headers_mut()
        .insert("x-request-id", "r-7".parse().unwrap());
    let body = read(rig.send(request).await).await.1.unwrap();
    assert_eq!(
        farewell(&MESSAGES, &body, MESSAGES.content)["request_id"],
        "r-7"
    );
}

#[tokio::test(start_paused = true)]
async fn ollamas_is_a_line() {
    let rig = Rig::one(1, TrafficPolicy::new());
    rig.engines.next([OLLAMA.says(&[OLLAMA.content])]);
    let body = OLLAMA.ask(&rig).await.1.unwrap();
    assert_eq!(body.lines().count(), 2);
    assert!(body.ends_with("}\n"));
}
