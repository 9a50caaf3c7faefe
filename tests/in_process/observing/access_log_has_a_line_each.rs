//! The access log: one line when a request has ended, which nobody but the log writes.

use axum::body::Body;
use http::Request;
use proptest::prelude::*;
use serde_json::Value;
use test_kit::{
    engines::{answers, fails, says},
    gateway::Rig,
    paused,
    request::{asked, chat_of},
    table::{one_server, retries},
};
use tower_model_route::{AccessLog, AccessStyle, ModelRouteLayer};

use super::Lines;
use crate::telemetry::collect::collecting;

/// Two endpoints, of which the other may be tried.
fn rig(lines: &Lines) -> Rig {
    lines.rig(one_server(2, retries(1)))
}

fn with_id(mut request: Request<http_body_util::Full<bytes::Bytes>>) -> Request<Body> {
    request
        .headers_mut()
        .insert("x-request-id", "req-7".parse().unwrap());
    request.map(Body::new)
}

#[tokio::test(start_paused = true)]
async fn a_routed_request_has_all_that_is_known() {
    let lines = Lines::default();
    let rig = rig(&lines);
    let answer = r#"{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":8}}"#;
    let (feed, body) = test_kit::body::script();
    feed.data(answer).end();
    let answer_act = answers(200, body).header("content-type", "application/json");
    rig.engines
        .next([fails(), answer_act.late(super::millis(1500))]);
    let answer = rig.send(with_id(asked())).await;
    test_kit::answer::Answer::of(answer).await;
    let (text, json) = lines.last();
    let endpoint = json["selected_pod"].as_str().unwrap();
    assert_eq!(
        text,
        format!(
            "\"POST /v1/chat/completions HTTP/1.1\" 200 model_name=asked upstream_model=real \
             model_route=route rule=rule model_server=server selected_pod={endpoint} \
             request_id=req-7 attempts=2 tokens=9/8 timings=1500.0ms(req=0.0 head=1500.0)"
        )
    );
    for (name, value) in [
        ("method", Value::from("POST")),
        ("path", "/v1/chat/completions".into()),
        ("protocol", "HTTP/1.1".into()),
        ("status_code", 200.into()),
        ("end", "ok".into()),
        ("model_name", "asked".into()),
        ("upstream_model", "real".into()),
        ("model_route", "route".into()),
        ("model_server", "server".into()),
        ("request_id", "req-7".into()),
        ("upstream_attempts", 2.into()),
        ("input_tokens", 9.into()),
        ("output_tokens", 8.into()),
        ("tokens_exact", true.into()),
        ("duration_total", 1500.0.into()),
        ("duration_to_head", 1500.0.into()),
        ("error_type", Value::Null),
    ] {
        assert_eq!(json[name], value, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_one_has_its_error() {
    let lines = Lines::default();
    let rig = rig(&lines);
    rig.send(with_id(chat_of(r#"{"model":"bogus"}"#))).await;
    let (text, json) = lines.last();
    assert_eq!(
        text,
        "\"POST /v1/chat/completions HTTP/1.1\" 404 error=model_not_found:\"the model `bogus` does \
         not exist\" model_name=bogus request_id=req-7 timings=0.0ms(req=0.0)"
    );
    assert_eq!(json["error_type"], "model_not_found");
    assert_eq!(json["status_code"], 404);
    assert_eq!(json["upstream_attempts"], 0);
    // An engine's error has no code of ours.
    rig.engines.next([says(400, "no")]);
    rig.ask().await;
    let (text, json) = lines.last();
    assert!(
        text.contains(" 400 error=engine_error model_name="),
        "{text}"
    );
    assert_eq!(json["error_type"], "engine_error");
}

proptest! {
    /// Whatever it sends, a client writes into no other line, and not to a terminal.
    #[test]
    fn a_client_cannot_write_the_log(model in ".{0,300}", path in "[!-~]{0,300}") {
        paused::runtime().block_on(async {
            let lines = Lines::default();
            let rig = rig(&lines);
            let body = serde_json::json!({"model": model}).to_string();
            let uri = format!("/v1/chat/completions/{path}").parse::<http::Uri>();
            let request = Request::post(uri.unwrap_or_default()).body(Body::from(body.clone()));
            rig.send(request.unwrap()).await;
            rig.send(chat_of(body)).await;
            for _ in 0..2 {
                let (text, json) = lines.last();
                assert!(!text.chars().any(char::is_control), "{text}");
                assert!(text.len() < 6000 && json.is_object());
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_an_event_of_tracing_in_each_style() {
    for (style, check) in [
        (AccessStyle::Fields, "request"),
        (
            AccessStyle::Text,
            "\"POST /v1/chat/completions HTTP/1.1\" 200 ",
        ),
        (AccessStyle::Json, "{\"method\":\"POST\","),
    ] {
        let (seen, _guard) = collecting();
        let rig = Rig::with(one_server(1, retries(0)), |table| {
            ModelRouteLayer::new(table).observer(AccessLog::new(style))
        });
        rig.ask().await;
        let event = seen.last_event();
        assert_eq!(event.level, tracing::Level::INFO);
        let message = event.fields.get("message").unwrap();
        assert!(message.starts_with(check), "{message}");
        let server = event.fields.get("model_server");
        assert_eq!(server.is_some(), style == AccessStyle::Fields);
    }
}
