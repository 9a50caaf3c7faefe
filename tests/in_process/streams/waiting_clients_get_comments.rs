//! What a client gets while it waits for an event, and what becomes of a failure behind it.

use axum::body::Body;
use http::{HeaderName, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use test_kit::{
    body::script,
    engines::{answers, says, status},
    gateway::Rig,
    paused::within,
    table::{one_server, retries},
};
use tokio::time::{Instant, sleep};
use tower_model_route::{ModelRouteLayer, OnInterruption, RouteDecision, TrafficPolicy};

use super::{CHAT, Dialect, GEMINI, MESSAGES, OLLAMA, RESPONSES, SECOND, read};

fn every(seconds: u32) -> TrafficPolicy {
    retries(1).sse_keepalive(seconds * SECOND)
}

/// The text that has come in the time until the next does not.
async fn text_within(body: &mut Body, seconds: u32) -> String {
    let mut text = String::new();
    let read = async {
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            text += std::str::from_utf8(&data).unwrap();
        }
    };
    _ = tokio::time::timeout(seconds * SECOND, read).await;
    text
}

#[tokio::test(start_paused = true)]
async fn the_answer_is_opened_with_a_comment_and_goes_on_as_the_engines() {
    for dialect in [&CHAT, &MESSAGES, &RESPONSES, &GEMINI] {
        let rig = Rig::one(1, every(10));
        let (script, act) = dialect.stream();
        rig.engines.next([act.late(35 * SECOND)]);
        script.data(dialect.content).data(dialect.terminal).end();
        let start = Instant::now();
        let answer = within(rig.send(dialect.request())).await;
        assert_eq!(start.elapsed().as_secs(), 10);
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert!(answer.headers().contains_key("x-request-id"));
        let (_, body) = read(answer).await;
        let expected = [
            dialect.ping.repeat(3).as_str(),
            dialect.content,
            dialect.terminal,
        ]
        .concat();
        assert_eq!(body.unwrap(), expected);
        assert_eq!(rig.in_flight(), 0);
    }
}

/// Whatever its body says: clients count the tokens of the very body that they then send.
#[tokio::test(start_paused = true)]
async fn what_counts_tokens_is_no_stream() {
    let rig = Rig::one(1, every(10));
    let counted = says(200, "{\"input_tokens\":7}").header("content-type", "application/json");
    rig.engines.next([counted.late(35 * SECOND)]);
    let body = Body::from("{\"model\":\"asked\",\"stream\":true}");
    let request = Request::post("/v1/messages/count_tokens").body(body);
    let (head, body) = read(within(rig.send(request.unwrap())).await).await;
    assert_eq!(head.headers()["content-type"], "application/json");
    assert_eq!(body.unwrap(), "{\"input_tokens\":7}");
}

/// vLLM sends the head at once, whatever its queue.
#[tokio::test(start_paused = true)]
async fn comments_stand_between_the_events_of_an_answer_that_has_begun() {
    let rig = Rig::one(1, every(10));
    let (script, act) = CHAT.stream();
    rig.engines.next([act]);
    let mut body = rig.send(CHAT.request()).await.into_body();
    assert_eq!(text_within(&mut body, 25).await, CHAT.ping.repeat(2));
    script.data(CHAT.start);
    assert_eq!(text_within(&mut body, 9).await, CHAT.start);
    // Never within an event.
    let (half, rest) = CHAT.content.split_at(9);
    script.data(half);
    assert_eq!(text_within(&mut body, 50).await, half);
    script.data(rest).data(CHAT.terminal).end();
    let rest = [rest, CHAT.terminal].concat();
    assert_eq!(text_within(&mut body, 50).await, rest);
}

/// vLLM sends LF, Gemini CRLF.
#[tokio::test(start_paused = true)]
async fn whichever_way_its_lines_end() {
    for dialect in [&CHAT, &MESSAGES, &GEMINI] {
        let rig = Rig::one(1, every(10));
        let (script, act) = dialect.stream();
        rig.engines.next([act]);
        let mut body = rig.send(dialect.request()).await.into_body();
        for _ in 0..2 {
            let content = dialect.content.replace('\n', "\r\n");
            script.data(content.clone());
            let expected = content + &dialect.ping.repeat(3);
            assert_eq!(text_within(&mut body, 35).await, expected);
        }
    }
}

/// Behind an `id` openai-python takes an empty line for an event without data, and raises.
#[tokio::test(start_paused = true)]
async fn behind_ids_comments_are_lines_of_the_next_event() {
    let rig = Rig::one(1, every(10));
    let (script, act) = CHAT.stream();
    rig.engines.next([act]);
    let mut body = rig.send(CHAT.request()).await.into_body();
    assert_eq!(text_within(&mut body, 15).await, CHAT.ping);
    for _ in 0..2 {
        let content = format!("id: 7\n{}", CHAT.content);
        script.data(content.clone());
        let expected = content + ": keep-alive\n: keep-alive\n";
        assert_eq!(text_within(&mut body, 25).await, expected);
    }
    script.data(CHAT.content);
    let expected = format!("{}: keep-alive\n", CHAT.content);
    assert_eq!(text_within(&mut body, 15).await, expected);
}

/// An engine that sends its error word by word.
#[tokio::test(start_paused = true)]
async fn comments_go_on_while_an_error_is_read() {
    let rig = Rig::one(1, retries(0).sse_keepalive(10 * SECOND));
    let (script, error) = script();
    rig.engines.next([answers(400, error)
        .header("content-type", "application/json")
        .late(15 * SECOND)]);
    let feed = async {
        sleep(45 * SECOND).await;
        script.data(r#"{"error":{"message":"no"}}"#).end();
    };
    let ((_, body), ()) = tokio::join!(CHAT.ask(&rig), feed);
    let body = body.unwrap();
    let event = body.strip_prefix(&CHAT.ping.repeat(4)).unwrap();
    assert!(event.starts_with("data: {\"error\""), "{body}");
}

/// Comments are not in the length that the engine has announced.
#[tokio::test(start_paused = true)]
async fn an_answer_with_comments_has_no_length() {
    let policy = every(10).on_interruption(OnInterruption::Pass);
    let rig = Rig::one(1, policy);
    let (_script, act) = CHAT.stream();
    rig.engines.next([act.header("content-length", "500")]);
    let answer = rig.send(CHAT.request()).await;
    assert!(!answer.headers().contains_key("content-length"));
}

/// What is compressed can't follow a comment.
#[tokio::test(start_paused = true)]
async fn engines_are_asked_for_plain_events() {
    for (policy, expected) in [(every(10), "identity"), (TrafficPolicy::new(), "gzip")] {
        let rig = Rig::one(1, policy);
        rig.engines
            .next([CHAT.says(&[CHAT.content, CHAT.terminal])]);
        let mut request = CHAT.request();
        let headers = request.headers_mut();
        headers.insert("accept-encoding", "gzip".parse().unwrap());
        _ = read(rig.send(request).await).await.1.unwrap();
        let attempts = rig.engines.attempts();
        assert_eq!(attempts[0].header("accept-encoding"), Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn another_attempt_may_follow_behind_it() {
    let rig = Rig::one(2, every(10));
    rig.engines.next([status(503).late(15 * SECOND)]);
    rig.engines
        .next([CHAT.says(&[CHAT.content, CHAT.terminal])]);
    let (head, body) = CHAT.ask(&rig).await;
    assert_eq!(head.status(), 200);
    assert_eq!(
        body.unwrap(),
        [CHAT.ping, CHAT.content, CHAT.terminal].concat()
    );
    assert_eq!(rig.engines.hosts().len(), 2);
    assert_eq!(rig.in_flight(), 0);
}

/// Before the comments a failure has its own status.
#[tokio::test(start_paused = true)]
async fn an_early_failure_has_its_own_status() {
    let rig = Rig::one(1, every(10));
    rig.engines.next([status(503), status(503)]);
    assert_eq!(CHAT.ask(&rig).await.0.status(), 503);
}

#[track_caller]
fn last_event(dialect: &Dialect, body: &str) -> Value {
    let event = body.strip_prefix(dialect.ping).unwrap();
    let data = event.rsplit_once("data: ").unwrap().1;
    let is_named = event.starts_with("event: error\n");
    assert_eq!(
        is_named,
        matches!(dialect.path, "/v1/messages" | "/v1/responses")
    );
    serde_json::from_str(data.trim_end()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_late_failure_is_an_error_event_with_its_status() {
    let words = r#"{"error":{"message":"too long","type":"BadRequestError","code":400}}"#;
    for dialect in [&CHAT, &MESSAGES, &RESPONSES] {
        let rig = Rig::one(1, every(10));
        rig.engines.next([says(400, words)
            .header("content-type", "application/json")
            .late(15 * SECOND)]);
        let (head, body) = dialect.ask(&rig).await;
        assert_eq!(head.status(), 200);
        let error = last_event(dialect, &body.unwrap());
        assert_eq!(error["error"]["message"], "too long");
        assert_eq!(error["error"]["status"], 400);

        // Our own, and one without words.
        for act in [test_kit::engines::fails(), status(500)] {
            rig.engines.next([act.late(15 * SECOND)]);
            let (_, body) = dialect.ask(&rig).await;
            let error = last_event(dialect, &body.unwrap());
            assert!(
                matches!(error["error"]["status"].as_u64(), Some(500 | 502)),
                "{error}"
            );
        }
        assert_eq!(rig.in_flight(), 0);
    }
    let rig = Rig::one(1, every(10));
    rig.engines
        .next([status(503).late(15 * SECOND), status(503)]);
    let (_, body) = GEMINI.ask(&rig).await;
    assert_eq!(last_event(&GEMINI, &body.unwrap())["error"]["code"], 503);
}

/// The error of OpenAI's responses has its words on the top level.
#[tokio::test(start_paused = true)]
async fn a_late_error_event_keeps_the_engines_words() {
    let own = "event: error\ndata: {\"type\":\"error\",\"code\":503,\"message\":\"no room\"}\n\n";
    let rig = Rig::one(
        1,
        retries(0).sse_keepalive(10 * SECOND).first_event_gate(true),
    );
    rig.engines.next([RESPONSES.says(&[own]).late(15 * SECOND)]);
    let (_, body) = RESPONSES.ask(&rig).await;
    let error = last_event(&RESPONSES, &body.unwrap());
    assert_eq!(error["message"], "no room");
    assert_eq!(error["error"]["message"], "no room");
    assert_eq!(error["error"]["status"], 503);
}

/// The total timeout goes on behind the head.
#[tokio::test(start_paused = true)]
async fn a_time_that_is_over_is_such_a_failure() {
    let rig = Rig::one(1, every(10).total_timeout(15 * SECOND));
    let (_script, act) = CHAT.stream();
    rig.engines.next([act.late(60 * SECOND)]);
    let (_, body) = CHAT.ask(&rig).await;
    assert_eq!(last_event(&CHAT, &body.unwrap())["error"]["status"], 504);
}

#[tokio::test(start_paused = true)]
async fn only_clients_that_ask_for_a_stream_of_events_get_it() {
    let request = |body: &'static str, accept: &'static str| {
        let request = Request::post(CHAT.path).header("accept", accept);
        request.body(Body::from(body)).unwrap()
    };
    let stream = r#"{"model":"asked","stream":true}"#;
    let to = |path| Request::post(path).body(Body::from(stream)).unwrap();
    for (request, seconds) in [
        (request(stream, "application/json"), 10),
        (request(stream, "text/html, text/event-stream;q=0.5"), 10),
        (request(stream, "*/*"), 10),
        (request(stream, "text/html"), 35),
        (request(r#"{"model":"asked","stream":false}"#, "*/*"), 35),
        (request(r#"{"model":"asked"}"#, "text/event-stream"), 35),
        (OLLAMA.request(), 35),
        (to("/v1/audio/speech"), 35),
        (to("/v1/images/generations"), 35),
    ] {
        let rig = Rig::one(1, every(10));
        rig.engines.next([says(200, "{}").late(35 * SECOND)]);
        let start = Instant::now();
        let told = format!("{request:?}");
        let _answer = within(rig.send(request)).await;
        assert_eq!(start.elapsed().as_secs(), seconds, "{told}");
    }
}

/// A stream that nobody has asked for.
#[tokio::test(start_paused = true)]
async fn nor_does_a_client_in_the_middle_of_one() {
    for (text, comments) in [
        (r#"{"model":"asked","stream":true}"#, 2),
        (r#"{"model":"asked","stream":false}"#, 0),
        (r#"{"model":"asked"}"#, 0),
    ] {
        let rig = Rig::one(1, every(10));
        let (_script, act) = CHAT.stream();
        rig.engines.next([act]);
        let request = Request::post(CHAT.path).body(Body::from(text)).unwrap();
        let mut body = rig.send(request).await.into_body();
        let expected = CHAT.ping.repeat(comments);
        assert_eq!(text_within(&mut body, 25).await, expected, "{text}");
    }
}

/// Behind comments what the queue says is an event too.
#[tokio::test(start_paused = true)]
async fn a_place_that_does_not_come_free_is_such_a_failure() {
    for (deadline, status) in [(None, 503), (Some("25"), 504)] {
        let policy = retries(0)
            .sse_keepalive(10 * SECOND)
            .max_in_flight(1)
            .max_queue(1)
            .queue_timeout(30 * SECOND);
        let rig = Rig::with(one_server(1, policy), |table| {
            ModelRouteLayer::new(table).deadline_header(HeaderName::from_static("x-deadline"))
        });
        let (_first, act) = CHAT.stream();
        rig.engines.next([act]);
        let _busy = rig.send(CHAT.request()).await;
        let mut request = CHAT.request();
        let deadline = deadline.map(|text: &str| text.parse().unwrap());
        request
            .headers_mut()
            .extend(deadline.map(|text| (HeaderName::from_static("x-deadline"), text)));
        let (head, body) = read(rig.send(request).await).await;
        assert_eq!(head.status(), 200);
        let body = body.unwrap();
        let event = body.trim_start_matches(CHAT.ping);
        let data = event.strip_prefix("data: ").unwrap();
        let error: Value = serde_json::from_str(data.trim_end()).unwrap();
        assert_eq!(error["error"]["status"], status);
        assert_eq!(rig.engines.hosts().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_an_endpoint_gets_them_too() {
    let policy = every(10)
        .max_in_flight(1)
        .max_queue(1)
        .queue_timeout(60 * SECOND);
    let rig = Rig::one(1, policy);
    let (first, act) = CHAT.stream();
    rig.engines
        .next([act, CHAT.says(&[CHAT.content, CHAT.terminal])]);
    let busy = rig.send(CHAT.request()).await;
    let free = async {
        sleep(25 * SECOND).await;
        first.end();
        drop(busy);
    };
    let (answer, ()) = tokio::join!(CHAT.ask(&rig), free);
    assert_eq!(
        answer.1.unwrap(),
        CHAT.ping.repeat(2) + CHAT.content + CHAT.terminal
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_behind_the_head_ends_the_exchange() {
    let rig = Rig::one(1, every(10));
    let (script, act) = CHAT.stream();
    rig.engines.next([act.late(60 * SECOND)]);
    let answer = rig.send(CHAT.request()).await;
    assert_eq!(rig.in_flight(), 1);
    drop(answer);
    assert_eq!(rig.in_flight(), 0);
    assert!(script.is_dropped());
    assert_eq!(rig.endpoint("e0").failures(), 0);
}

/// The head has the decision of the time at which it was sent; the body has the last one.
#[tokio::test(start_paused = true)]
async fn the_body_knows_the_final_decision() {
    use tower::Service;

    let rig = Rig::one(2, every(10));
    rig.engines.next([status(503).late(15 * SECOND)]);
    rig.engines
        .next([CHAT.says(&[CHAT.content, CHAT.terminal])]);
    let mut stack = tower_model_route::stack(rig.table.clone()).service(rig.engines.service());
    let call = stack.call(CHAT.request());
    let mut answer = within(call).await.unwrap();
    let decision = answer.extensions().get::<RouteDecision>().unwrap();
    assert_eq!(decision.attempts(), 1);
    while within(answer.body_mut().frame()).await.is_some() {}
    assert_eq!(answer.body().decision().unwrap().attempts(), 2);
}
