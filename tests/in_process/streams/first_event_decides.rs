//! Before the first content event an attempt can still be followed by another.

use axum::body::Body;
use http::{HeaderName, Request, StatusCode};
use http_body::Body as _;
use serde_json::Value;
use test_kit::{
    body::{script, script_of},
    engines::{Act, answers, says, streams},
    gateway::Rig,
    paused::settle,
    table::{one_server, retries},
};
use tower_model_route::{EndpointHealth, ModelRouteLayer, ModelSources, TrafficPolicy};

use super::{ALL, CHAT, Dialect, GEMINI, MESSAGES, OLLAMA, RESPONSES, SECOND, read};

fn gated(times: u32) -> TrafficPolicy {
    retries(times).first_event_gate(true)
}

const VLLM_ERROR: &str = "data: {\"error\": {\"message\": \"EngineCore encountered an issue.\", \"type\": \"InternalServerError\", \"param\": null, \"code\": 500}}\n\n";
const VLLM_BUSY: &str = "data: {\"error\": {\"message\": \"The engine is currently busy and cannot accept new requests.\", \"type\": \"ServiceUnavailableError\", \"param\": null, \"code\": 503}}\n\n";
const OVERLOADED: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";

/// The ways to fail in the first event: in which dialect, with what, and as which status.
fn refusals() -> Vec<(&'static Dialect, Vec<&'static str>, u16)> {
    vec![
        (&CHAT, vec![VLLM_ERROR, CHAT.terminal], 500),
        (&CHAT, vec![CHAT.ping, CHAT.start, VLLM_ERROR], 500),
        (&CHAT, vec![VLLM_BUSY, CHAT.terminal], 503),
        (&MESSAGES, vec![OVERLOADED], 529),
        (
            &MESSAGES,
            vec![MESSAGES.start, MESSAGES.ping, OVERLOADED],
            529,
        ),
        (
            &CHAT,
            vec!["data: {\"error\":{\"message\":\"slow down\",\"type\":\"rate_limit_error\"}}\n\n"],
            429,
        ),
        (
            &RESPONSES,
            vec![
                RESPONSES.start,
                "event: error\ndata: {\"type\":\"error\",\"code\":503,\"message\":\"no room\"}\n\n",
            ],
            503,
        ),
        (
            &GEMINI,
            vec![
                "data: {\"error\":{\"code\":503,\"message\":\"no room\",\"status\":\"UNAVAILABLE\"}}\r\n\r\n",
            ],
            503,
        ),
        (&OLLAMA, vec!["{\"error\":\"no room\"}\n"], 500),
    ]
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_first_event_goes_elsewhere() {
    for (dialect, parts, _) in refusals() {
        let rig = Rig::one(2, gated(1));
        rig.engines.next([dialect.says(&parts)]);
        let whole = [dialect.start, dialect.content, dialect.terminal];
        rig.engines.next([dialect.says(&whole)]);
        let (head, body) = dialect.ask(&rig).await;
        assert_eq!(head.status(), 200);
        assert_eq!(body.unwrap(), whole.concat());
        assert_eq!(rig.engines.hosts().len(), 2);
        assert_eq!(rig.in_flight(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn with_nothing_left_the_client_gets_its_status_and_the_engines_words() {
    for (dialect, parts, status) in refusals() {
        let rig = Rig::one(1, gated(0));
        rig.engines.next([dialect.says(&parts)]);
        let (head, body) = dialect.ask(&rig).await;
        assert_eq!(head.status().as_u16(), status);
        assert_eq!(head.headers()["content-type"], "application/json");
        let body: Value = serde_json::from_str(&body.unwrap()).unwrap();
        // OpenAI's responses and Ollama have it elsewhere.
        let places = ["/error/message", "/message", "/error"];
        let message = places
            .into_iter()
            .find_map(|place| body.pointer(place)?.as_str());
        let message = message.expect("words");
        assert!(parts.concat().contains(message), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_it_says_of_the_endpoint_is_what_its_status_says() {
    let in_stream = |error: &str| format!("data: {{\"error\":{error}}}\n\n");
    for (error, failures, health) in [
        (r#"{"message":"m","code":503}"#, 1, EndpointHealth::Healthy),
        (
            r#"{"message":"busy","code":503}"#,
            0,
            EndpointHealth::Cooling,
        ),
        (r#"{"message":"m","code":429}"#, 0, EndpointHealth::Cooling),
        (r#"{"message":"m","code":400}"#, 0, EndpointHealth::Healthy),
        // It quotes its client, and without a status it may.
        (
            r#"{"message":"bad value: busy","code":400}"#,
            0,
            EndpointHealth::Healthy,
        ),
        (
            r#"{"message":"bad value: busy"}"#,
            1,
            EndpointHealth::Healthy,
        ),
        (
            r#"{"message":"The engine is currently busy and cannot accept new requests."}"#,
            0,
            EndpointHealth::Cooling,
        ),
        (
            r#"{"message":"m","type":"overloaded_error"}"#,
            0,
            EndpointHealth::Cooling,
        ),
    ] {
        let rig = Rig::one(1, gated(0));
        let (script, act) = CHAT.stream();
        script.data(in_stream(error)).end();
        rig.engines.next([act]);
        CHAT.ask(&rig).await.1.unwrap();
        let endpoint = rig.endpoint("e0");
        assert_eq!(
            (endpoint.failures(), endpoint.health()),
            (failures, health),
            "{error}"
        );
    }
}

/// Failover's rules hold: the status must be one of the policy's. What is none that an answer
/// fails with is a failed attempt.
#[tokio::test(start_paused = true)]
async fn a_status_in_the_stream_is_retried_as_one_of_an_answer_is() {
    for (code, statuses, attempts) in [
        (504, &[StatusCode::GATEWAY_TIMEOUT][..], 2),
        (504, &[StatusCode::BAD_GATEWAY], 1),
        (429, &[StatusCode::BAD_GATEWAY], 1),
        (520, &[StatusCode::BAD_GATEWAY], 2),
    ] {
        let policy = gated(1).retry_statuses(statuses.iter().copied());
        let rig = Rig::one(2, policy);
        let (script, act) = CHAT.stream();
        let event = format!("data: {{\"error\":{{\"message\":\"m\",\"code\":{code}}}}}\n\n");
        script.data(event).end();
        rig.engines.next([act]);
        rig.engines
            .next([CHAT.says(&[CHAT.content, CHAT.terminal])]);
        CHAT.ask(&rig).await.1.unwrap();
        let hosts = rig.engines.hosts();
        assert_eq!(hosts.len(), attempts, "{code}");
        let failures = u64::from(code != 429);
        assert_eq!(rig.endpoint(&hosts[0]).failures(), failures, "{code}");
    }
}

/// There is nothing to pass on but that there was an error.
#[tokio::test(start_paused = true)]
async fn an_error_without_words_is_a_502_of_ours() {
    for event in [
        "event: error\n\n",
        "event: error\ndata: oops\n\n",
        "event: error\ndata: \"oops\"\n\n",
    ] {
        for dialect in [&CHAT, &MESSAGES] {
            let rig = Rig::one(1, gated(0));
            rig.engines.next([dialect.says(&[event])]);
            let (head, body) = dialect.ask(&rig).await;
            assert_eq!(head.status(), 502, "{event}");
            let body: Value = serde_json::from_str(&body.unwrap()).unwrap();
            assert!(body["error"]["message"].is_string());
            assert_eq!(rig.endpoint("e0").failures(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_4xx_in_the_stream_is_the_clients_and_goes_nowhere_else() {
    let rig = Rig::one(2, gated(1));
    rig.engines
        .next([CHAT.says(&["data: {\"error\":{\"message\":\"too long\",\"code\":400}}\n\n"])]);
    let (head, _) = CHAT.ask(&rig).await;
    assert_eq!(
        (head.status(), rig.engines.hosts().len()),
        (StatusCode::BAD_REQUEST, 1)
    );
}

/// What is no answer at all, although its head says so.
fn empty() -> Vec<Act> {
    let (broken, act) = CHAT.stream();
    broken.data(CHAT.start).fail("reset");
    vec![
        CHAT.says(&[]),
        CHAT.says(&[CHAT.ping, CHAT.ping]),
        CHAT.says(&[CHAT.start]),
        CHAT.says(&[CHAT.start, "data: {\"choi"]),
        act,
        says(200, "<html>").header("content-type", "text/html"),
    ]
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_an_event_goes_elsewhere_or_is_502() {
    for (n, act) in empty().into_iter().enumerate() {
        let rig = Rig::one(2, gated(1));
        rig.engines.next([act]);
        rig.engines
            .next([CHAT.says(&[CHAT.content, CHAT.terminal])]);
        let (head, body) = CHAT.ask(&rig).await;
        assert_eq!(head.status(), 200, "{n}");
        assert_eq!(body.unwrap(), [CHAT.content, CHAT.terminal].concat());
    }
    for act in empty() {
        let rig = Rig::one(1, gated(0));
        rig.engines.next([act]);
        assert_eq!(CHAT.ask(&rig).await.0.status(), 502);
        assert_eq!(rig.endpoint("e0").failures(), 1);
        assert_eq!(rig.in_flight(), 0);
    }
}

/// What the request has no body to say may be a stream or not.
#[tokio::test(start_paused = true)]
async fn a_response_that_is_read_again_may_be_either() {
    let name = HeaderName::from_static("x-model");
    for act in [
        RESPONSES.says(&[RESPONSES.content, RESPONSES.terminal]),
        says(200, "{\"id\":\"resp_1\"}").header("content-type", "application/json"),
    ] {
        let rig = Rig::with(one_server(1, gated(0)), |table| {
            let sources = ModelSources::standard().and_header(name.clone());
            ModelRouteLayer::new(table).extract_model(sources)
        });
        rig.engines.next([act]);
        let request = Request::get("/v1/responses/resp_1?stream=true").header(&name, "asked");
        let request = request.body(Body::empty()).unwrap();
        assert_eq!(rig.send(request).await.status(), 200);
    }
}

/// The client of a stream can't read JSON, nor one of JSON a stream.
#[tokio::test(start_paused = true)]
async fn an_answer_of_the_other_kind_goes_elsewhere() {
    let json = || says(200, "{\"choices\":[]}").header("content-type", "application/json");
    let stream = || CHAT.says(&[CHAT.content, CHAT.terminal]);
    let asks = |stream: &str| {
        let body = format!("{{\"model\":\"asked\"{stream}}}");
        Request::post(CHAT.path).body(Body::from(body)).unwrap()
    };
    for (asked, wrong, right, text) in [
        (
            ",\"stream\":true",
            json(),
            stream(),
            [CHAT.content, CHAT.terminal].concat(),
        ),
        (
            ",\"stream\":false",
            stream(),
            json(),
            "{\"choices\":[]}".to_owned(),
        ),
        ("", stream(), json(), "{\"choices\":[]}".to_owned()),
    ] {
        let rig = Rig::one(2, gated(1));
        rig.engines.next([wrong, right]);
        let answer = rig.send(asks(asked)).await;
        assert_eq!(read(answer).await.1.unwrap(), text);
        assert_eq!(rig.engines.hosts().len(), 2);
    }
}

/// vLLM takes 1 and "true" for true, Python the last of two, Go a name in any case; and what counts
/// tokens, or cancels, answers in JSON whatever its body says.
#[tokio::test(start_paused = true)]
async fn where_engines_may_differ_in_what_is_asked_for_both_kinds_pass() {
    let json = || says(200, "{\"input_tokens\":7}").header("content-type", "application/json");
    let stream = || CHAT.says(&[CHAT.content, CHAT.terminal]);
    let on_chats = [
        r#""stream":"true""#,
        r#""stream":1"#,
        r#""stream":false,"stream":true"#,
        r#""stream":true,"stream":false"#,
        r#""Stream":true"#,
    ];
    let others = [
        "/v1/messages/count_tokens",
        "/v1/responses/input_tokens",
        "/v1/responses/r/cancel",
        "/v1/projects/p/locations/l/publishers/anthropic/models/asked:rawPredict",
    ];
    let both = |asks| [(CHAT.path, asks, stream()), (CHAT.path, asks, json())];
    let on_others = others.map(|path| (path, r#""stream":true"#, json()));
    for (path, asks, act) in on_chats.into_iter().flat_map(both).chain(on_others) {
        let rig = Rig::one(1, gated(0));
        rig.engines.next([act]);
        let body = format!("{{\"model\":\"asked\",{asks}}}");
        let request = Request::post(path).body(Body::from(body)).unwrap();
        let answer = rig.send(request).await;
        assert_eq!(answer.status(), 200, "{path} {asks}");
        assert_eq!(rig.endpoint("e0").failures(), 0, "{path} {asks}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_given_out_before_the_first_content_and_then_all_of_it_in_order() {
    for dialect in ALL {
        let rig = Rig::one(1, gated(0));
        let (script, act) = dialect.stream();
        rig.engines.next([act]);
        let call = tokio::spawn({
            let gateway = rig.gateway.clone();
            let request = dialect.request();
            async move { tower::ServiceExt::oneshot(gateway, request).await.unwrap() }
        });
        let mut sent = Vec::new();
        for part in [dialect.ping, dialect.start] {
            script.data(part);
            sent.push(part);
            settle().await;
            assert!(!call.is_finished(), "{}", dialect.path);
        }
        script.data(dialect.content);
        let answer = call.await.unwrap();
        script.data(dialect.terminal).end();
        sent.extend([dialect.content, dialect.terminal]);
        assert_eq!(read(answer).await.1.unwrap(), sent.concat());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_streamed_begins_with_its_first_byte() {
    let rig = Rig::one(1, gated(0));
    for (content_type, text) in [
        ("application/json", "{\"choices\":[]}"),
        ("application/json", "[1]"),
        ("audio/mpeg", "ID3"),
    ] {
        let path = if content_type == "audio/mpeg" {
            "/v1/audio/speech"
        } else {
            CHAT.path
        };
        let length = text.len() as u64;
        let (script, body) = script_of(Some(length));
        script.data(text).end();
        rig.engines
            .next([answers(200, body).header("content-type", content_type)]);
        let body = Body::from(r#"{"model":"asked"}"#);
        let request = Request::post(path).body(body).unwrap();
        let answer = rig.send(request).await;
        assert_eq!(answer.body().size_hint().exact(), Some(length));
        assert_eq!(read(answer).await.1.unwrap(), text);
    }
}

/// The attempt that was given up holds nothing any more while the next one goes on.
#[tokio::test(start_paused = true)]
async fn a_head_that_was_held_in_vain_gives_its_place_back() {
    let rig = Rig::one(2, gated(1).max_in_flight(1));
    let (failed, act) = CHAT.stream();
    failed.data(CHAT.start).data(VLLM_ERROR);
    let (script, other) = CHAT.stream();
    script.data(CHAT.content);
    rig.engines.next([act, other]);
    let answer = rig.send(CHAT.request()).await;
    let hosts = rig.engines.hosts();
    let in_flight = |host: &str| rig.endpoint(host).in_flight();
    assert_eq!((in_flight(&hosts[0]), in_flight(&hosts[1])), (0, 1));
    assert!(failed.is_dropped());
    script.data(CHAT.terminal).end();
    assert!(read(answer).await.1.is_ok());
    assert_eq!(rig.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_at_most_64_kib() {
    for (bytes, is_held) in [(60 << 10, true), (65 << 10, false)] {
        let rig = Rig::one(1, gated(0));
        let (script, act) = CHAT.stream();
        rig.engines.next([act]);
        let comment = format!(":{}\n\n", " ".repeat(bytes - 3));
        script.data(comment);
        let call = rig.send(CHAT.request());
        let is_over = tokio::time::timeout(SECOND, call).await.is_ok();
        assert_eq!(is_over, !is_held, "{bytes}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_bounded() {
    // Also where a frame is a single byte, and takes far more than that.
    for comment in [CHAT.ping, ":"] {
        let rig = Rig::one(1, gated(0));
        let (script, act) = CHAT.stream();
        rig.engines.next([act]);
        for _ in 0..6000 {
            script.data(comment);
        }
        let answer = test_kit::paused::within(rig.send(CHAT.request())).await;
        script.data("\n\n");
        script.data(CHAT.content).data(CHAT.terminal).end();
        let (head, body) = read(answer).await;
        assert_eq!(head.status(), 200);
        let ends = ["\n\n", CHAT.content, CHAT.terminal].concat();
        assert_eq!(body.unwrap(), comment.repeat(6000) + &ends);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_the_head_is_held_ends_the_exchange() {
    let rig = Rig::one(1, gated(0));
    let (script, act) = CHAT.stream();
    rig.engines.next([act]);
    {
        let call = rig.send(CHAT.request());
        assert!(tokio::time::timeout(SECOND, call).await.is_err());
    }
    assert!(script.is_dropped());
    assert_eq!((rig.in_flight(), rig.endpoint("e0").failures()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn by_default_the_head_passes_at_once() {
    let rig = Rig::one(1, TrafficPolicy::new());
    let (script, body) = script();
    rig.engines.next([streams(body)]);
    assert_eq!(rig.send(CHAT.request()).await.status(), 200);
    drop(script);
}
