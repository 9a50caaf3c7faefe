//! `POST /_explain`.

use std::iter;

use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::json;
use test_kit::{
    answer::Answer,
    table::{HOSTILE, hostile_names},
};
use tower_model_route::Admin;

use super::view::{JSON, explain};

async fn post(body: impl Into<Bytes>, accept: Option<&str>) -> Answer {
    let admin = Admin::new(hostile_names()).show_header("user-type");
    let accept = accept.map(|accept| ("accept", accept));
    explain(admin, "/ops/_explain", iter::once(JSON).chain(accept), body).await
}

#[tokio::test]
async fn an_explanation_as_json() {
    let question = json!({
        "method": "POST",
        "path": "/v1/chat/completions",
        "headers": {"User-Type": ["basic", "premium"], "Authorization": "Bearer sk-1"},
        "model": "gpt",
    });
    let answer = post(question.to_string(), None).await;
    assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text());
    let explained = answer.json();
    assert_eq!(explained["verdict"], "sent");
    assert_eq!(explained["error"], json!(null));
    assert_eq!(explained["route"], HOSTILE);
    assert_eq!(explained["rule"], "premium");
    assert_eq!(
        explained["routes"][0]["rules"][0],
        json!({
            "name": "premium",
            "verdict": "taken",
            "conditions": [
                {
                    "condition": "header user-type is \"premium\"",
                    "holds": true,
                    "seen": ["basic", "premium"],
                },
                {"condition": "header authorization is ***", "holds": true, "seen": ["***"]},
            ],
        })
    );
    assert_eq!(explained["routes"][0]["rules"][1]["verdict"], "not_reached");
    let target = &explained["targets"][0];
    assert_eq!(target["model_server"], HOSTILE);
    assert_eq!(target["current_share"], 100.0);
    assert_eq!(target["endpoints"][0]["uri"], "http://large");
    assert_eq!(target["endpoints"][0]["takes_requests"], true);
    let uri = "http://large/v1/chat/completions";
    assert_eq!(target["endpoints"][0]["request_uri"], uri);
    assert!(!answer.text().contains("sk-1"));
}

#[tokio::test]
async fn as_text_for_who_asks_for_it() {
    for (accept, is_text) in [
        ("text/plain", true),
        ("text/plain; charset=utf-8, */*;q=0.1", true),
        ("application/json", false),
        ("text/plain, application/json", false),
        ("*/*", false),
    ] {
        let answer = post(r#"{"model":"sql"}"#, Some(accept)).await;
        let kind = answer.headers()["content-type"].to_str().unwrap();
        assert_eq!(kind.starts_with("text/plain"), is_text, "{accept}");
        if is_text {
            let start = "POST /v1/chat/completions asks for the model \"sql\"\n";
            assert!(answer.text().starts_with(start), "{}", answer.text());
            assert!(answer.text().ends_with('\n'));
        }
    }
}

#[tokio::test]
async fn the_model_is_read_out_of_a_body() {
    for question in [
        json!({"body": {"model": "gpt", "messages": []}}),
        json!({"body": "{\"mod\\u0065l\": \"gpt\"}"}),
        json!({"path": "/openai/deployments/gpt/chat/completions", "body": "{}"}),
        json!({"path": "/openai/deployments/gpt/chat/completions"}),
    ] {
        let explained = post(question.to_string(), None).await.json();
        assert_eq!(explained["model"], "gpt", "{question}");
        assert_eq!(explained["rule"], "default", "{question}");
    }
}

#[tokio::test]
async fn a_request_that_is_refused_is_explained_as_well() {
    let explained = post(r#"{"model":"gone"}"#, None).await.json();
    assert_eq!(explained["verdict"], "refused");
    assert_eq!(
        explained["error"],
        json!({
            "status": 404,
            "code": "model_not_found",
            "message": "the model `gone` does not exist",
        })
    );
}

#[tokio::test]
async fn bad_questions_are_answered_with_what_is_wrong() {
    for (question, code, part) in [
        ("", "invalid_question", "not a question in JSON"),
        ("[]", "invalid_question", "not an object"),
        (
            r#"["POST","/v1/chat/completions",{},"m",null]"#,
            "invalid_question",
            "not an object",
        ),
        (
            r#"{"model":"m","path":"nope"}"#,
            "invalid_question",
            "does not begin with a slash",
        ),
        (r#"{"modle":"x"}"#, "invalid_question", "`modle`"),
        (r#"{"model":7}"#, "invalid_question", "string"),
        (r#"{"model":""}"#, "invalid_question", "`model` is empty"),
        (r#"{"model":"m","body":{}}"#, "invalid_question", "both"),
        (
            r#"{"model":"m","method":"A B"}"#,
            "invalid_question",
            "`method`",
        ),
        (
            r#"{"model":"m","path":"a b"}"#,
            "invalid_question",
            "`path`",
        ),
        (
            r#"{"model":"m","headers":{"a b":"c"}}"#,
            "invalid_question",
            "\"a b\"",
        ),
        (
            r#"{"model":"m","headers":{"a":"\n"}}"#,
            "invalid_question",
            "\"a\"",
        ),
        (
            r#"{"model":"m","headers":{"a":1}}"#,
            "invalid_question",
            "header's value",
        ),
        ("{}", "missing_model", "would be answered with 400"),
        (
            r#"{"path":"/v1/models/gpt:x","model":"other"}"#,
            "ambiguous_model",
            "would be answered with 400",
        ),
        (
            r#"{"body":{}}"#,
            "missing_model",
            "would be answered with 400",
        ),
        (
            r#"{"method":"GET"}"#,
            "route_not_found",
            "would be answered with 404",
        ),
    ] {
        let answer = post(question, Some("text/plain")).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{question}");
        let error = &answer.json()["error"];
        assert_eq!(error["code"], code, "{question}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(part), "{question}: {message}");
    }
}

#[tokio::test]
async fn more_headers_than_a_request_can_have_are_refused() {
    let headers: serde_json::Map<_, _> = (0..40_000)
        .map(|number| (format!("h{number}"), "".into()))
        .collect();
    let question = serde_json::json!({"model": "gpt", "headers": headers});
    let answer = post(question.to_string(), None).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let message = answer.json()["error"]["message"].to_string();
    assert!(message.contains("too many"), "{message}");
}

#[tokio::test]
async fn a_large_question_is_refused_before_it_is_read() {
    let answer = post(vec![b' '; (1 << 20) + 1], None).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.json()["error"]["code"], "body_too_large");
    let mut fits = br#"{"model":"gpt"}"#.to_vec();
    fits.resize(1 << 20, b' ');
    assert_eq!(post(fits, None).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn one_without_a_known_length_is_bounded_too() {
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{BodyExt, StreamBody};
    use tower::ServiceExt;
    let chunks = stream::repeat_with(|| {
        Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(&[b' '; 4096])))
    });
    let request = Request::post("/_explain")
        .header("content-type", "application/json")
        .body(StreamBody::new(chunks))
        .unwrap();
    let response = Admin::new(hostile_names()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(!response.collect().await.unwrap().to_bytes().is_empty());
}

/// A `model` beside one that the path names is that of the request's body.
#[tokio::test]
async fn the_paths_model_counts_as_in_the_request() {
    for question in [
        r#"{"path":"/openai/deployments/gpt/chat/completions"}"#,
        r#"{"path":"/openai/deployments/gpt/chat/completions","model":"other"}"#,
        r#"{"path":"/v1/models/gpt/ready","method":"GET"}"#,
        r#"{"path":"/v1/models/gpt:predict","model":"gpt"}"#,
    ] {
        let answer = post(question, None).await;
        assert_eq!(answer.status(), StatusCode::OK, "{question}");
        assert_eq!(answer.json()["model"], "gpt", "{question}");
    }
}
